// Fields out of bytes, and the checksum: the independent reader's own, written from SPEC.md alone.

/** A file that breaks a rule of the format. */
export class Refused extends Error {}

export function refuse(why: string): never {
  throw new Refused(why);
}

export class Cursor {
  private at = 0;
  readonly data: Uint8Array;

  constructor(data: Uint8Array) {
    this.data = data;
  }

  get left(): number {
    return this.data.length - this.at;
  }

  take(count: number): Uint8Array {
    if (count > this.left) refuse(`${count} bytes wanted, ${this.left} left`);
    this.at += count;
    return this.data.slice(this.at - count, this.at);
  }

  uint(bytes: number): number {
    let value = 0n;
    for (const [i, byte] of this.take(bytes).entries()) value |= BigInt(byte) << BigInt(8 * i);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) refuse(`${value} is too large`);
    return Number(value);
  }

  double(): number {
    const bytes = this.take(8);
    const value = new DataView(bytes.buffer).getFloat64(0, true);
    if (!Number.isFinite(value) || Object.is(value, -0)) refuse(`${value} is no number of the format`);
    return value;
  }

  text(): string {
    const bytes = this.take(this.uint(2));
    const text = Buffer.from(bytes).toString('utf8');
    if (!Buffer.from(text, 'utf8').equals(bytes)) refuse('text is not UTF-8');
    return text;
  }

  flag(): boolean {
    const value = this.uint(1);
    if (value > 1) refuse(`flag ${value}`);
    return value === 1;
  }

  zeros(count: number): void {
    if (this.take(count).some((byte) => byte !== 0)) refuse('reserved bytes are not zero');
  }

  end(): void {
    if (this.left > 0) refuse(`${this.left} bytes too many`);
  }
}

/** CRC-32C, a bit at a time. */
export function checksum(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0;
}

export function hex(data: Uint8Array): string {
  return Buffer.from(data).toString('hex');
}

/** Magic, version, reserved and features: sections 4 and 6. */
export function checkOpening(cursor: Cursor, letters: string): void {
  const magic = hex(Buffer.from(`\u0089${letters}\r\n\u001a`, 'latin1'));
  if (hex(cursor.take(8)) !== magic) refuse(`not a ${letters}`);
  const version = cursor.uint(2);
  if (version !== 1) refuse(`version ${version}`);
  cursor.zeros(2);
  const features = cursor.uint(4);
  if (features !== 0) refuse(`features ${features}`);
}

/** The body of a record: section 4. */
export function openBody(data: Uint8Array, letters: string): Cursor {
  const cursor = new Cursor(data);
  checkOpening(cursor, letters);
  const length = cursor.uint(4);
  if (length !== data.length || length < 24) refuse(`length ${length}, present ${data.length}`);
  const body = cursor.take(length - 24);
  if (checksum(data.slice(0, -4)) !== cursor.uint(4)) refuse('checksum');
  return new Cursor(body);
}
