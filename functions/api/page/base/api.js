// Requests to the API. Addresses are relative to the page's own.

import { parseExactly } from "./json.js";
import { key } from "./key.js";

/**
 * An error answer of the API (RFC 9457), in its own words.
 */
export class Problem extends Error {
  /**
   * @param {number} status
   * @param {{ type?: string, title?: string, detail?: string, errors?: { location: string, message: string }[], retry_after?: string }} body
   */
  constructor(status, body) {
    super(body.detail ?? body.title ?? `the API answered ${status}`);
    this.name = "Problem";
    this.status = status;
    this.type = body.type ?? "about:blank";
    this.title = body.title ?? "";
    this.errors = body.errors ?? [];
    /** Seconds after which to try again. */
    this.retryAfter = Number(body.retry_after ?? 0);
  }

  /** Whether the API asks for a key, or for another one. */
  get needsKey() {
    return this.status === 401;
  }

  /** Whether this API has no such route. */
  get isMissingRoute() {
    return (this.status === 404 || this.status === 405) && this.type === "about:blank";
  }
}

/** The API cannot be reached. */
export class Unreachable extends Error {
  constructor() {
    super("The pipeline does not answer. It is tried again until it does.");
    this.name = "Unreachable";
  }
}

/**
 * @typedef {object} Options
 * @property {Record<string, string | number | null | undefined>} [query]
 * @property {unknown} [body] is sent as JSON
 * @property {Record<string, string>} [headers]
 * @property {AbortSignal} [signal]
 */

/**
 * Sends a request and returns the answer's JSON, with numbers as text; null if it has none.
 * @param {string} method
 * @param {string} path without a leading slash
 * @param {Options} [options]
 * @returns {Promise<any>}
 * @throws {Problem | Unreachable}
 */
export async function request(method, path, { query = {}, body, headers = {}, signal } = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined);
  const parameters = new URLSearchParams(given.map(([name, value]) => [name, String(value)]));
  const address = given.length > 0 ? `${path}?${parameters}` : path;

  const all = new Headers(headers);
  const ownKey = key();
  if (ownKey) all.set("Authorization", `Bearer ${ownKey}`);
  if (body !== undefined) all.set("Content-Type", "application/json");

  let answer;
  let text;
  try {
    answer = await fetch(address, {
      method,
      headers: all,
      body: body === undefined ? null : JSON.stringify(body),
      signal: signal ?? null,
    });
    text = await answer.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Unreachable();
  }

  const isJson = answer.headers.get("Content-Type")?.includes("json") ?? false;
  let value = null;
  try {
    value = isJson && text !== "" ? parseExactly(text) : null;
  } catch {
    throw new Unreachable();
  }
  if (answer.ok) return value;

  const problem = new Problem(answer.status, value ?? {});
  // A gateway's own words: the api behind it did not answer.
  if (!isJson && answer.status >= 500) throw new Unreachable();
  if (problem.needsKey) dispatchEvent(new CustomEvent("key-needed", { detail: problem }));
  throw problem;
}

/**
 * @param {string} path
 * @param {Options["query"]} [query]
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export function get(path, query, signal) {
  return request("GET", path, signal ? { query: query ?? {}, signal } : { query: query ?? {} });
}

/**
 * A key for `Idempotency-Key`: the request may be sent again without creating a second job.
 * `crypto.randomUUID` is missing on pages that are neither HTTPS nor loopback.
 * @returns {string}
 */
export function idempotencyKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
