// Rewrites v86's program so that an interpreted machine can be ended at any instruction. v86 itself looks up after 100,003
// instructions at the soonest, and then goes on to the end of a run, up to 100,000 more.
//
//   main_loop        calls `step` where it called the interpreter, and runs until it is told, not for 100,003
//   step(opcode)     the interpreter; one less to go; at none:
//                      a slice's end   the run of instructions ends, and main_loop with it: timers and interrupts have their turn
//                      a cut           the same, but the processor stands as if it halted with interrupts off, so that nothing
//                                      has its turn; `held` says that it was so, and what the interrupt flag was
//
// One instruction with its prefixes is one step, and so are `sti` with the instruction that it shields, and each round of a
// `rep` that v86 makes at a time. Only a machine in virtual time may run it: somebody has to say when to end.
//
// Encodings: WebAssembly 2.0, §5.4 and §5.5.

import { concatBytes, type OwnedBytes } from '../../base/bytes.ts';
import { OP as CODE, CodeReader } from '../../instrument/code-reader.ts';
import {
  nameBytes,
  readSections,
  SECTION,
  type Section,
  SectionReader,
  unsigned,
  vector,
  withMore,
  withSection,
  writeSections,
} from '../../instrument/module-sections.ts';
import { I32, OP } from './barrier-code.ts';
import {
  bytesOf,
  countImports,
  FUNCTION_TYPE,
  functionNames,
  hasType,
  indexOf,
  KIND,
  missing,
  readVector,
} from './program-parts.ts';
import { CPU_BLOCK } from './v86-internals.ts';

/** Exported globals, all i32: steps to go, 1 where a cut is wanted, and what the processor was held with (0: it was not). */
export const STEP_GLOBALS = {
  left: 'vitrine:steps.left',
  cuts: 'vitrine:steps.cuts',
  held: 'vitrine:steps.held',
} as const;

/** What `step` adds to the instruction counter at a slice's end, for main_loop to see that it is over. */
export const END_MARK = 0x7fff_ffff;

/** In `held`: that the processor is; the interrupt flag stands at its own place. */
export const FLAG_INTERRUPT = 1 << 9;

/** v86's own bound of a slice. */
const SLICE_INSTRUCTIONS = 100_003;

/** Where this build notes that a run of instructions is to end (`jit_block_boundary`): the one byte that main_loop asks. */
const RUN_ENDS_ADDRESS = 37_376;

const MAIN_LOOP = 'main_loop';
const INTERPRET = { name: '3gen11interpreter3run', type: [FUNCTION_TYPE, 1, I32, 0] };

const GLOBAL_SET = 0x24;
const OR = 0x72;
const EQZ = 0x45;
const MUTABLE = 1;

/**
 * v86's program with steps. Throws `argument-invalid` when the bytes are not a module, `unsupported` with what is missing
 * when it is another build.
 */
export function stepProgram(program: Uint8Array): OwnedBytes {
  const sections = readSections(program);
  const imported = countImports(bytesOf(sections, SECTION.import));
  const types = readVector(bytesOf(sections, SECTION.function), (reader) => reader.unsigned());
  const bodies = readVector(bytesOf(sections, SECTION.code), (reader) => reader.bytes(reader.unsigned()));
  const globals = imported.globals + new SectionReader(bytesOf(sections, SECTION.global)).unsigned();
  const names = functionNames(sections);

  const interpret = indexOf(names, INTERPRET.name);
  const type = types[interpret - imported.functions];
  if (type === undefined || !hasType(sections, type, INTERPRET.type)) {
    throw missing(`${INTERPRET.name} of another type`);
  }
  const step = imported.functions + bodies.length;
  const mainLoop = indexOf(names, MAIN_LOOP) - imported.functions;
  const original = bodies[mainLoop];
  if (original === undefined) throw missing(MAIN_LOOP);
  bodies[mainLoop] = steppedLoop(original, interpret, step);
  bodies.push(Uint8Array.from(stepBody(interpret, globals)));
  types.push(type);

  const zero = Uint8Array.of(I32, MUTABLE, OP.constant, 0, OP.end);
  const exported = Object.values(STEP_GLOBALS).map((name, i) =>
    concatBytes([nameBytes(name), Uint8Array.of(KIND.global), unsigned(globals + i)]),
  );
  let changed: Section[] = withSection(sections, {
    id: SECTION.function,
    bytes: vector(types.map(unsigned)),
  });
  changed = withSection(changed, {
    id: SECTION.code,
    bytes: vector(bodies.map((body) => concatBytes([unsigned(body.length), body]))),
  });
  changed = withMore(changed, SECTION.global, [zero, zero, zero]);
  return writeSections(withMore(changed, SECTION.export, exported));
}

/** v86's loop with `step` in the interpreter's place and no bound that it comes to by itself. */
function steppedLoop(body: Uint8Array, interpret: number, step: number): Uint8Array {
  const head = new SectionReader(body);
  for (let left = head.unsigned(); left > 0; left--) {
    head.unsigned();
    head.byte();
  }
  const parts: Uint8Array[] = [];
  const found = { calls: 0, bounds: 0, ends: 0 };
  let copied = 0;
  const replace = (code: CodeReader, bytes: readonly number[]) => {
    parts.push(body.subarray(copied, code.start), Uint8Array.from(bytes));
    copied = code.at;
  };
  const code = new CodeReader(body, head.at);
  while (code.at < body.length) {
    code.next();
    if (code.op === CODE.call && code.immediate === interpret) {
      found.calls++;
      replace(code, [OP.call, ...unsigned(step)]);
    } else if (code.op === CODE.i32Const && code.immediate === SLICE_INSTRUCTIONS) {
      found.bounds++;
      replace(code, [OP.constant, ...signed(END_MARK)]);
    } else if (code.op === CODE.i32Load8U && code.offset === RUN_ENDS_ADDRESS) found.ends++;
  }
  // A second place of one of them would be a build whose loop is made otherwise.
  if (found.calls !== 1 || found.bounds !== 1 || found.ends !== 1) {
    throw missing(`${MAIN_LOOP} as it was: ${JSON.stringify(found)}`);
  }
  return concatBytes([...parts, body.subarray(copied)]);
}

function stepBody(interpret: number, firstGlobal: number): number[] {
  const [left, cuts, held] = [0, 1, 2].map((i) => [...unsigned(firstGlobal + i)]) as [
    number[],
    number[],
    number[],
  ];
  const at = (address: number) => [...unsigned(address)];
  const flags = [OP.constant, 0, ...OP.load, ...at(CPU_BLOCK.flags)];
  return [
    0,
    ...[OP.localGet, 0, OP.call, ...unsigned(interpret)],
    ...[OP.globalGet, ...left, OP.constant, 1, OP.subtract, GLOBAL_SET, ...left],
    ...[OP.globalGet, ...left, EQZ, ...OP.if],
    ...[OP.constant, 0, OP.constant, 1, ...OP.storeByte, ...at(RUN_ENDS_ADDRESS)],
    ...[OP.globalGet, ...cuts, ...OP.if],
    // Where the instruction itself halted the processor, the slice ends by that, and needs no cut.
    ...[OP.constant, 0, ...OP.loadByte, ...at(CPU_BLOCK.halted), EQZ, ...OP.if],
    ...[...flags, OP.constant, ...signed(FLAG_INTERRUPT), OP.and, OP.constant, 1, OR, GLOBAL_SET, ...held],
    ...[OP.constant, 0, ...flags, OP.constant, ...signed(~FLAG_INTERRUPT), OP.and],
    ...[...OP.store, ...at(CPU_BLOCK.flags)],
    ...[OP.constant, 0, OP.constant, 1, ...OP.storeByte, ...at(CPU_BLOCK.halted)],
    OP.end,
    OP.else,
    ...[OP.constant, 0, OP.constant, 0, ...OP.load, ...at(CPU_BLOCK.instructionCounter)],
    ...[OP.constant, ...signed(END_MARK), OP.add, ...OP.store, ...at(CPU_BLOCK.instructionCounter)],
    ...[OP.end, OP.end, OP.end],
  ];
}

/** A signed LEB128 integer of 32 bits. */
function signed(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (;;) {
    const low = rest & 0x7f;
    rest >>= 7;
    if ((rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0)) return [...bytes, low];
    bytes.push(low | 0x80);
  }
}
