// Times as the page shows them: in UTC, as the API does, and ages in words.

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/**
 * @param {number} number
 * @returns {string}
 */
const two = (number) => String(number).padStart(2, "0");

/**
 * The time of day, such as `14:03:09`.
 * @param {string} time RFC 3339 in UTC
 * @returns {string}
 */
export function clock(time) {
  return time.slice(11, 19);
}

/**
 * The day, such as `28 Nov`; with the year unless it is this one.
 * @param {string} time RFC 3339 in UTC
 * @returns {string}
 */
export function day(time) {
  const date = new Date(time);
  const year = date.getUTCFullYear();
  const text = `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}`;
  return year === new Date().getUTCFullYear() ? text : `${text} ${year}`;
}

/**
 * Day and time, such as `28 Nov 14:03:09`.
 * @param {string} time RFC 3339 in UTC
 * @returns {string}
 */
export function moment(time) {
  return `${day(time)} ${clock(time)}`;
}

/**
 * How long ago it was, such as `4s`, `12m`, `3h` or `2d`; `now` for what is not past yet.
 * @param {string} time
 * @param {number} now milliseconds since 1970
 * @returns {string}
 */
export function age(time, now) {
  const past = now - Date.parse(time);
  return past < SECOND ? "now" : span(past);
}

/**
 * How long until then, such as `4s`; `due` if it is past.
 * @param {string} time
 * @param {number} now milliseconds since 1970
 * @returns {string}
 */
export function until(time, now) {
  const left = Date.parse(time) - now;
  return left <= 0 ? "due" : `in ${span(left + SECOND)}`;
}

/**
 * @param {number} milliseconds
 * @returns {string}
 */
export function span(milliseconds) {
  if (milliseconds < MINUTE) return `${Math.floor(milliseconds / SECOND)}s`;
  if (milliseconds < HOUR) return `${Math.floor(milliseconds / MINUTE)}m`;
  if (milliseconds < 2 * DAY) return `${Math.floor(milliseconds / HOUR)}h`;
  return `${Math.floor(milliseconds / DAY)}d`;
}

/**
 * An interval in the largest whole unit, such as `10 s`, `5 min`, `1 h`.
 * @param {number} seconds
 * @returns {string}
 */
export function interval(seconds) {
  if (seconds % 86_400 === 0) return `${seconds / 86_400} d`;
  if (seconds % 3_600 === 0) return `${seconds / 3_600} h`;
  if (seconds % 60 === 0) return `${seconds / 60} min`;
  return `${seconds} s`;
}

/**
 * The beginning of the day in UTC.
 * @param {number} now milliseconds since 1970
 * @returns {string} RFC 3339
 */
export function startOfDay(now) {
  const date = new Date(now);
  return `${date.getUTCFullYear()}-${two(date.getUTCMonth() + 1)}-${two(date.getUTCDate())}T00:00:00Z`;
}
