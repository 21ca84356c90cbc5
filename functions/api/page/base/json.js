// JSON whose numbers stay text. `JSON.parse` makes binary floating point of them, which has no
// 0.1, and loses digits of long prices.

/** A string, or a number outside of strings. */
const STRING_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/**
 * Parses JSON. Every number becomes the string that the server wrote.
 * @param {string} text
 * @returns {any}
 */
export function parseExactly(text) {
  return JSON.parse(text.replace(STRING_OR_NUMBER, (token) => (token[0] === '"' ? token : `"${token}"`)));
}
