// `vitrine/testing`: the suites that every guest and store must pass, for those who write one.

export { type FuzzOptions, type FuzzReport, fuzzExample } from './fuzz-example.ts';
export {
  type FuzzedMachine,
  type FuzzMachineOptions,
  type FuzzMachineReport,
  fuzzMachine,
} from './fuzz-machine-example.ts';
export { guestConformance, type OpenSubject, type Subject, type TestApi } from './guest-conformance.ts';
export { Random } from './random.ts';
export {
  type StoreContractOptions,
  type StoreSubject,
  type StoreTestApi,
  storeContract,
} from './store-contract.ts';
export { type RoundTripOptions, type RoundTripReport, verifyRoundTrip } from './verify-round-trip.ts';
