// `vitrine/bridge`: the machines of a host from outside, and what serves them at a channel.

/// <reference lib="esnext.disposable" preserve="true" />

export { BellBook, type BellBookOptions, type BellEvent, type BellRinging } from './bell-book.ts';
export {
  type BellInfo,
  BridgeClient,
  type ConnectOptions,
  connectBridge,
  type JobOptions,
  type MachineInfo,
  newJobId,
  type VerifySummary,
} from './bridge-client.ts';
export type { HelloResponse } from './bridge-connection.ts';
export { BRIDGE_LIMITS } from './bridge-limits.ts';
export { BridgeLink, type LinkOptions, type LinkState, type OpenChannel } from './bridge-link.ts';
export { type BridgeChannel, CLOSE_CODES, SUBPROTOCOL } from './channel.ts';
export type { BridgeRange } from './fields.ts';
export {
  fullGrant,
  type Grant,
  type GrantTable,
  grantOf,
  PERMISSIONS,
  type Permission,
  type PermissionRequest,
} from './grant.ts';
export type {
  AttachRequest,
  BridgeHost,
  HostMachine,
  MachineConsole,
  MachineFacts,
  MachineScreen,
  MachineState,
  ProcessorRegisters,
  RunRequest,
  ScreenLine,
  Spool,
} from './host.ts';
export type { JobInfo } from './job-info.ts';
export { type Job, type JobId, type JobRequest, type JobState, Jobs, type JobsOptions } from './jobs.ts';
export { Recordings, type RecordingsOptions } from './recordings.ts';
export { RemoteConsole, type RemoteConsoleOptions } from './remote-console.ts';
export { type MachineStatus, RemoteGuest, type RemotePast, type RemotePeek } from './remote-guest.ts';
export { RemoteScreen, type RemoteScreenOptions } from './remote-screen.ts';
export { RemoteStore } from './remote-store.ts';
export { type Session, type SessionOptions, serveSession, type VerbEvent } from './session.ts';
export { type SyncSource, type SyncTarget, sync } from './sync.ts';
export {
  openWebSocketChannel,
  type WebSocketConstructor,
  type WebSocketLike,
  type WebSocketOptions,
} from './web-socket-channel.ts';
