// The emulators that users bring, installed beside the package: each is saved, changed and restored, and says what it
// holds at each of these times.
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { loadMicroPython } from '@micropython/micropython-webassembly-pyscript';
import { openTracker, openVitrine } from 'vitrine';
import { openMicroPython } from 'vitrine/guest/micropython';
import { PULSE } from 'vitrine/guest/pulse';
import { openRp2040, TALLY, tallyFirmware } from 'vitrine/guest/rp2040';
import { openV86, pulseConfig } from 'vitrine/guest/v86';
import { openMemoryStore } from 'vitrine/store/memory';

const vitrine = await openVitrine({ store: openMemoryStore() });

const v86 = fileURLToPath(import.meta.resolve('v86')).replace('libv86.mjs', 'v86.wasm');
const pc = await openV86(pulseConfig({ bytes: await readFile(v86) }));
const pulse = vitrine.adopt('pulse', await openTracker(pc));
const word = async (address) => {
  const { bytes } = await pulse.peek([{ address, lengthBytes: 4 }]);
  return new DataView(bytes[0].buffer, bytes[0].byteOffset).getUint32(0, true);
};
await pc.start();
while ((await word(PULSE.loops)) < 40) await new Promise((resolve) => setTimeout(resolve, 5));
await pc.stop();
const saved = await pulse.save();
const before = await word(PULSE.loops);
await pc.start();
while ((await word(PULSE.loops)) < before + 40) await new Promise((resolve) => setTimeout(resolve, 5));
await pc.stop();
const moved = (await word(PULSE.loops)) > before;
await pulse.restore(saved.snapshot.id);
const after = await word(PULSE.loops);

const python = await openMicroPython({
  loadMicroPython,
  wasmUrl: fileURLToPath(
    import.meta.resolve('@micropython/micropython-webassembly-pyscript/micropython.wasm'),
  ),
});
let said = '';
python.onOutput((bytes) => {
  said += new TextDecoder().decode(bytes);
});
const session = vitrine.adopt('python', await openTracker(python));
await python.type('x = 6 * 7\r');
const { snapshot } = await session.save();
await python.type('x = 0\r');
await session.restore(snapshot.id);
said = '';
await python.type('print("x is", x)\r');

const board = openRp2040({ firmware: tallyFirmware(), flashBytes: 65_536 });
const ticks = () => board.chip.readUint32(TALLY.ticks);
const pico = vitrine.adopt('pico', await openTracker(board.guest));
board.run(10_000_000);
const [atSave, pointOfPico] = [ticks(), await pico.save()];
board.run(10_000_000);
const ticked = ticks() > atSave;
await pico.restore(pointOfPico.snapshot.id);
const isBack = ticked && ticks() === atSave;

await vitrine.close();
console.log(
  JSON.stringify({ isBack, moved, restored: after === before, said: /^x is .*/m.exec(said)?.[0].trim() }),
);
