// A small emulator as people write them: classes that hold each other, an interpreter of bytes, a timer whose alarms are
// closures in a linked list, queues and maps that grow, objects made while it runs. Nothing of it knows snapshots.
//
// Every byte is an instruction, so that any memory is a program; what it does depends on its state alone.

/** An alarm: what to do, and when. */
interface Alarm {
  readonly ring: () => void;
  atCycle: bigint;
  next: Alarm | null;
}

export class ToyClock {
  cycles = 0n;
  nextAlarm: Alarm | null = null;

  makeAlarm(ring: () => void): Alarm {
    return { ring, atCycle: 0n, next: null };
  }

  schedule(alarm: Alarm, delayCycles: number): void {
    alarm.atCycle = this.cycles + BigInt(delayCycles);
    let at: Alarm | null = this.nextAlarm;
    let last: Alarm | null = null;
    while (at !== null && at.atCycle <= alarm.atCycle) {
      last = at;
      at = at.next;
    }
    alarm.next = at;
    if (last === null) this.nextAlarm = alarm;
    else last.next = alarm;
  }

  tick(): void {
    this.cycles++;
    while (this.nextAlarm !== null && this.nextAlarm.atCycle <= this.cycles) {
      const due = this.nextAlarm;
      this.nextAlarm = due.next;
      due.ring();
    }
  }
}

/** A line of the printer: made while the computer runs. */
export class ToyLine {
  readonly words: string[] = [];
  previous: ToyLine | null;
  /** Itself: a cycle among objects that no new machine has. */
  readonly self: ToyLine = this;

  constructor(previous: ToyLine | null) {
    this.previous = previous;
  }
}

export class ToyPrinter {
  readonly #keptApart = 0;
  readonly seen = new Map<number, { times: number }>();
  readonly rare = new Set<number>();
  line = new ToyLine(null);
  newest: Uint16Array | null = null;
  ratio = 0;

  print(byte: number): void {
    const entry = this.seen.get(byte);
    if (entry === undefined) this.seen.set(byte, { times: 1 });
    else entry.times++;
    if (byte % 61 === this.#keptApart) this.rare.add(byte);
    this.line.words.push(byte.toString(16));
    this.newest = Uint16Array.of(byte, this.line.words.length);
    this.ratio = this.rare.size / this.seen.size;
    // Three lines are remembered.
    if (this.line.words.length === 12) this.line = new ToyLine(this.line);
    const third = this.line.previous?.previous;
    if (third) third.previous = null;
  }
}

export class ToyCpu {
  readonly registers = new Int32Array(4);
  readonly #computer: ToyComputer;
  pc = 0;
  carry = false;
  stack: number[] = [];
  /** One of the methods below, chosen at run time, as emulators choose a mode. */
  mode: () => void;
  readonly slowly = (): void => {
    this.registers[3]! += 1;
  };
  readonly quickly = (): void => {
    this.registers[3]! += 7;
  };

  constructor(computer: ToyComputer) {
    this.#computer = computer;
    this.mode = this.slowly;
  }

  step(): void {
    const { ram, clock, printer, timer } = this.#computer;
    const { registers } = this;
    const op = ram[this.pc]!;
    this.pc = (this.pc + 1) % ram.length;
    const to = (registers[1]! * 31 + op * 7 + registers[3]!) & (ram.length - 1);
    switch (op & 7) {
      case 0:
        this.#computer.store(to, registers[0]! + op);
        break;
      case 1:
        registers[0] = Math.imul(registers[0]! ^ ram[to]!, 0x0100_0193) + op;
        break;
      case 2:
        registers[1]! += op + (this.carry ? 1 : 0);
        this.carry = registers[1]! % 3 === 0;
        break;
      case 3:
        if (this.stack.length < 20) this.stack.push(registers[0]!);
        else this.stack = [];
        break;
      case 4:
        registers[0]! += this.stack.pop() ?? 1;
        break;
      case 5:
        printer.print(op ^ (registers[0]! & 0xff));
        break;
      case 6:
        this.mode = op & 8 ? this.quickly : this.slowly;
        break;
      default:
        timer.start(op);
    }
    this.mode();
    clock.tick();
  }
}

export class ToyTimer {
  readonly alarms: Alarm[];
  readonly #computer: ToyComputer;
  rings = 0;

  constructor(computer: ToyComputer) {
    this.#computer = computer;
    this.alarms = [0, 1, 2].map((index) => computer.clock.makeAlarm(() => this.ring(index)));
  }

  start(op: number): void {
    const alarm = this.alarms[op % 3]!;
    if (alarm.atCycle <= this.#computer.clock.cycles) this.#computer.clock.schedule(alarm, 5 + (op >> 2));
  }

  ring(index: number): void {
    this.rings++;
    // An interrupt: memory is written without an instruction.
    this.#computer.store(this.#computer.ram.length - 1 - index, this.rings);
  }
}

export class ToyComputer {
  readonly ram: Uint8Array;
  readonly clock = new ToyClock();
  readonly printer = new ToyPrinter();
  readonly timer: ToyTimer;
  readonly cpu: ToyCpu;
  /** What the computer's user listens with: not state. */
  onStore: ((address: number) => void) | undefined = undefined;

  constructor(ram: Uint8Array = new Uint8Array(16_384)) {
    this.ram = ram;
    this.timer = new ToyTimer(this);
    this.cpu = new ToyCpu(this);
    let seed = 1;
    for (let i = 0; i < ram.length; i++) {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      ram[i] = seed >>> 16;
    }
  }

  store(address: number, value: number): void {
    this.onStore?.(address);
    this.ram[address] = value;
  }

  /** Runs, and tells what can be seen of it. */
  run(steps: number): string {
    for (let i = 0; i < steps; i++) this.cpu.step();
    const { cpu, clock, timer, printer } = this;
    let sum = 0;
    for (const byte of this.ram) sum = (Math.imul(sum, 31) + byte) | 0;
    return [
      ...cpu.registers,
      cpu.pc,
      cpu.carry,
      cpu.stack.length,
      clock.cycles,
      timer.rings,
      sum,
      printer.ratio,
      [...printer.seen].map(([byte, { times }]) => `${byte}:${times}`).join(),
      printer.newest,
      printer.line.words.join(),
      printer.line.previous?.words.join(),
    ].join(' ');
  }
}
