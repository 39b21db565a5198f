export function findQemus(): { version: string; program: string; image: string }[];
export function ensureQemu(
  run: (
    command: string,
    args: string[],
    options: { env?: Record<string, string>; timeoutMs: number },
  ) => Promise<unknown>,
): Promise<string | undefined>;
export function tellQemus(): string;
export function kvmFault(program: string): string | undefined;
export function pageFaultsFault(program: string): string | undefined;
