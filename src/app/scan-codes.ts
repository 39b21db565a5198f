// Keys of a PC keyboard as scan codes of set 1: what a key sends when it is pressed. Its release sends the same with bit 7
// of the last byte set. Keys are named as `KeyboardEvent.code` names them: by place, whatever the layout.

const PRESSED: Readonly<Record<string, readonly number[]>> = {
  Escape: [0x01],
  ...row(0x02, '1234567890', (digit) => `Digit${digit}`),
  Minus: [0x0c],
  Equal: [0x0d],
  Backspace: [0x0e],
  Tab: [0x0f],
  ...row(0x10, 'QWERTYUIOP', letter),
  BracketLeft: [0x1a],
  BracketRight: [0x1b],
  Enter: [0x1c],
  ControlLeft: [0x1d],
  ...row(0x1e, 'ASDFGHJKL', letter),
  Semicolon: [0x27],
  Quote: [0x28],
  Backquote: [0x29],
  ShiftLeft: [0x2a],
  Backslash: [0x2b],
  ...row(0x2c, 'ZXCVBNM', letter),
  Comma: [0x33],
  Period: [0x34],
  Slash: [0x35],
  ShiftRight: [0x36],
  NumpadMultiply: [0x37],
  AltLeft: [0x38],
  Space: [0x39],
  CapsLock: [0x3a],
  F1: [0x3b],
  F2: [0x3c],
  F3: [0x3d],
  F4: [0x3e],
  F5: [0x3f],
  F6: [0x40],
  F7: [0x41],
  F8: [0x42],
  F9: [0x43],
  F10: [0x44],
  NumLock: [0x45],
  ScrollLock: [0x46],
  Numpad7: [0x47],
  Numpad8: [0x48],
  Numpad9: [0x49],
  NumpadSubtract: [0x4a],
  Numpad4: [0x4b],
  Numpad5: [0x4c],
  Numpad6: [0x4d],
  NumpadAdd: [0x4e],
  Numpad1: [0x4f],
  Numpad2: [0x50],
  Numpad3: [0x51],
  Numpad0: [0x52],
  NumpadDecimal: [0x53],
  IntlBackslash: [0x56],
  F11: [0x57],
  F12: [0x58],
  NumpadEnter: [0xe0, 0x1c],
  ControlRight: [0xe0, 0x1d],
  NumpadDivide: [0xe0, 0x35],
  AltRight: [0xe0, 0x38],
  Home: [0xe0, 0x47],
  ArrowUp: [0xe0, 0x48],
  PageUp: [0xe0, 0x49],
  ArrowLeft: [0xe0, 0x4b],
  ArrowRight: [0xe0, 0x4d],
  End: [0xe0, 0x4f],
  ArrowDown: [0xe0, 0x50],
  PageDown: [0xe0, 0x51],
  Insert: [0xe0, 0x52],
  Delete: [0xe0, 0x53],
};

const RELEASED = 0x80;

/** What the keyboard sends; undefined for a key that a PC does not have. */
export function scanCodesOf(code: string, event: 'press' | 'release'): readonly number[] | undefined {
  const pressed = PRESSED[code];
  if (pressed === undefined || event === 'press') return pressed;
  return pressed.map((byte, index) => (index === pressed.length - 1 ? byte | RELEASED : byte));
}

function row(
  first: number,
  keys: string,
  nameOf: (key: string) => string,
): Record<string, readonly number[]> {
  return Object.fromEntries([...keys].map((key, index) => [nameOf(key), [first + index]]));
}

function letter(key: string): string {
  return `Key${key}`;
}
