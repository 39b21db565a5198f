// Types of tally.mjs, which is plain JavaScript since it runs before anything is built.

export interface Tally {
  passed: number;
  failed: number;
  skipped: number;
}
export interface VitestReport {
  readonly testResults: readonly {
    readonly name?: string;
    readonly status: string;
    readonly message?: string;
    readonly assertionResults: readonly {
      readonly status: string;
      readonly fullName?: string;
      readonly failureMessages?: readonly string[];
    }[];
  }[];
}
export function emptyTally(): Tally;
export function sumOf(tallies: readonly Tally[]): Tally;
export function tallyOfCheck(ok: boolean): Tally;
export function tallyOfVitest(report: VitestReport | undefined, ok: boolean): Tally;
export function failuresOf(report: VitestReport | undefined): string[];
export function lineOf(tally: Tally): string;
export function closingLineOf(tally: Tally): string;
