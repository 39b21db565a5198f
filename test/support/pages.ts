// Memory from pictures: one character a page.
//
//   .  and 0     zeros
//   a … z        one byte value repeated: the letter
//   A … Z        bytes that look random, the same for one letter at every page size
//
// `picture` goes the other way, so that an expectation reads as the memory does.

const DEFAULT_PAGE_BYTES = 256;

/** The bytes that a picture shows. Throws on a character that stands for nothing. */
export function pages(picture: string, pageBytes = DEFAULT_PAGE_BYTES): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(picture.length * pageBytes);
  for (const [page, letter] of [...picture].entries()) bytes.set(pageOf(letter, pageBytes), page * pageBytes);
  return bytes;
}

/** The picture that bytes look like; `?` is a page that no character stands for. */
export function picture(bytes: Uint8Array, pageBytes = DEFAULT_PAGE_BYTES): string {
  let text = '';
  for (let at = 0; at < bytes.length; at += pageBytes) {
    const page = bytes.subarray(at, at + pageBytes);
    text += LETTERS.find((letter) => equal(pageOf(letter, pageBytes), page)) ?? '?';
  }
  return text;
}

const LETTERS = ['.', ...'abcdefghijklmnopqrstuvwxyz', ...'ABCDEFGHIJKLMNOPQRSTUVWXYZ'];

function pageOf(letter: string, pageBytes: number): Uint8Array {
  if (letter === '.' || letter === '0') return new Uint8Array(pageBytes);
  const code = letter.charCodeAt(0);
  if (/^[a-z]$/.test(letter)) return new Uint8Array(pageBytes).fill(code);
  if (!/^[A-Z]$/.test(letter)) throw new Error(`no page is called ${JSON.stringify(letter)}`);
  const page = new Uint8Array(pageBytes);
  let random = Math.imul(code, 0x9e37_79b1) >>> 0;
  for (let i = 0; i < pageBytes; i++) {
    random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0;
    page[i] = random >>> 24;
  }
  return page;
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
