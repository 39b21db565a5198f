// The RP2040 guest, as embedders import it.

export { RP2040_DOORBELL_ADDRESS } from './doorbell-register.ts';
export { openRp2040, RP2040JS_VERSION, Rp2040Board, type Rp2040Config } from './rp2040-board.ts';
export { TALLY, TALLY_MAGIC, tallyFirmware } from './tally/tally.ts';
