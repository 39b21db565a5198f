// `vitrine`: the engine, what it is made of, and the ports to implement. Guests, stores and test suites are sub-paths,
// so that a page pays only for what it uses. Declarations say `Symbol.asyncDispose`, which not every project's `lib` has.

/// <reference lib="esnext.disposable" preserve="true" />

export type { OwnedBytes } from './base/bytes.ts';
export type { Clock } from './base/clock.ts';
export { ERRORS, type ErrorCode, type ErrorData, isVitrineError, VitrineError } from './base/error.ts';
export { LIMITS } from './base/limits.ts';
export type { Progress, WorkOptions } from './base/work.ts';
export type { Codecs } from './codec/codec.ts';
export { loadCodecs } from './codec/load.ts';
export type { CollectReport } from './engine/collect.ts';
export type { DiffReport } from './engine/diff.ts';
export type { ServeDoorbellOptions, ServedDoorbell, ServedRing } from './engine/doorbell.ts';
export { LocalLock, type Lock } from './engine/lock.ts';
export type { Machine } from './engine/machine.ts';
export type { PeekRange } from './engine/peek.ts';
export type { RestoreReport } from './engine/restore.ts';
export type { SaveOptions, SaveReport } from './engine/save.ts';
export type { SnapshotId, SnapshotInfo } from './engine/snapshot.ts';
export type { SendOptions, SnapshotReceiver, TransferReport } from './engine/transfer.ts';
export type { VerifyReport } from './engine/verify.ts';
export { type EngineOptions, openEngine, type Vitrine } from './engine/vitrine.ts';
export type { Effort } from './format/frame-codecs.ts';
export type { Manifest } from './format/manifest.ts';
export type { Barrier, BarrierFigures, BarrierOptions, RegionPageSink } from './guest/barrier.ts';
export {
  answerAtRest,
  DOORBELL_WORDS,
  type Doorbell,
  type DoorbellAnswer,
  DoorbellDesk,
  type DoorbellRequest,
} from './guest/doorbell.ts';
export type {
  ConfigValue,
  DeviceRecord,
  DirtyTake,
  Guest,
  GuestTraits,
  MachineDescription,
} from './guest/guest.ts';
export { PageBarrier, type PageBarrierParts } from './guest/page-barrier.ts';
export { PauseGuard } from './guest/pause-guard.ts';
export type { KernelBuild, Kernels } from './kernel/kernels.ts';
export { compileKernels, type KernelOptions, loadKernels } from './kernel/load.ts';
export { type PageRun, PageSet } from './memory/page-set.ts';
export { pageCountOf, type Region } from './memory/region.ts';
export {
  copyShared,
  isSpanShared,
  type SharedMemory,
  type SharedRegion,
  sharedBytes,
} from './memory/shared-memory.ts';
export { regionOf, type Span, spansAtAddress } from './memory/span.ts';
export { type OpenRewindOptions, openRewind, reopenRewind } from './open-rewind.ts';
export { type OpenVitrineOptions, openTracker, openVitrine } from './open-vitrine.ts';
export { type OpenVitrineWorkerOptions, openVitrineWorker } from './open-vitrine-worker.ts';
export { EpochTimer, type EpochTimerOptions } from './rewind/epoch-timer.ts';
export type { Rewind } from './rewind/rewind.ts';
export type {
  EpochOutcome,
  RewindPoint,
  RewindState,
  RewindStats,
  SeekReport,
} from './rewind/rewind-report.ts';
export { type FlushReport, RewindStore } from './rewind/rewind-store.ts';
export { EngineClient, type GuestAtPort, MachineClient, startEngine } from './rpc/engine-client.ts';
export type { EngineInfo, StoreSpec } from './rpc/engine-host.ts';
export { GuestClient, type JoinOptions, startGuest } from './rpc/guest-client.ts';
export {
  type GuestConsole,
  GuestHost,
  type GuestSpec,
  type OpenedGuest,
  type OpenGuest,
} from './rpc/guest-host.ts';
export { exposeGuest, type GuestOffer, type GuestServer, offerOf } from './rpc/guest-port.ts';
export { connectGuest, PortGuest } from './rpc/port-guest.ts';
export { serve } from './rpc/ready.ts';
export { RewindClient } from './rpc/rewind-client.ts';
export type { RewindStartOptions } from './rpc/rewind-host.ts';
export { openWebLock } from './rpc/web-lock.ts';
export {
  type ByteRange,
  KEY_PATTERN,
  type Key,
  type Store,
  type StoreTraits,
} from './store/store.ts';
export type { Departure, FollowedTracker, Follower, Instant } from './tracking/follower.ts';
export { openScanTracker, type ScanTracker, type ScanTrackerOptions } from './tracking/scan-tracker.ts';
export type {
  CheckpointReport,
  LiveOptions,
  LiveReport,
  ResetReport,
  Tracker,
  TrackerDescription,
} from './tracking/tracker.ts';
export type { DoorbellOptions, DoorbellReport, TrackerDoorbell } from './tracking/tracker-doorbell.ts';
