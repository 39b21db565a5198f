export interface Archive {
  entry(name: string, mode: number, data?: Uint8Array, device?: readonly [number, number]): void;
  finish(): Uint8Array;
}
export function startArchive(): Archive;
