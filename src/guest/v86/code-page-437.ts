// The PC's characters as Unicode (the mapping of Unicode's CP437.TXT, with the picture characters below 0x20).

const LOW = ' ☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼';
const HIGH = [
  '⌂ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒ',
  'áíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐',
  '└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀',
  'αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0',
].join('');

/** Code point by character code. */
export const CODE_PAGE_437: Uint16Array = Uint16Array.from({ length: 256 }, (_, code) => {
  if (code < 0x20) return LOW.charCodeAt(code);
  return code < 0x7f ? code : HIGH.charCodeAt(code - 0x7f);
});
