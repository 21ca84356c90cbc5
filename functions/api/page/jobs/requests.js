// What can be asked of polling jobs.

import { get, idempotencyKey, request } from "../base/api.js";

/**
 * @typedef {object} Config
 * @property {string[]} symbols
 * @property {string} interval seconds, as text
 * @property {string} provider
 * @property {boolean} market_hours
 */

/**
 * @typedef {object} LastRun
 * @property {string} tick_time
 * @property {string} status
 * @property {string} published
 * @property {string} unchanged
 * @property {string} failed
 * @property {string | null} error
 */

/**
 * @typedef {object} Job
 * @property {string} job_id
 * @property {"active" | "paused" | "backing_off" | "stalled"} status
 * @property {string | null} reason
 * @property {string} since
 * @property {Config} config
 * @property {string | null} next_tick_at
 * @property {LastRun | null} last_run
 */

/**
 * What a form asks for.
 * @typedef {object} Wanted
 * @property {string[]} symbols
 * @property {number} [interval]
 * @property {string | null} [provider] null for the default one
 * @property {boolean} [market_hours]
 */

/** Jobs in one answer. */
const PAGE = 200;

/**
 * @param {string | null} [cursor]
 * @returns {Promise<{ items: Job[], next_cursor: string | null }>}
 */
export const listJobs = (cursor) => get("prices/poll", { limit: PAGE, cursor });

/**
 * @param {Wanted} wanted
 * @returns {Promise<{ job_id: string }>}
 */
export const createJob = (wanted) =>
  request("POST", "prices/poll", { body: wanted, headers: { "Idempotency-Key": idempotencyKey() } });

/**
 * @param {string} id
 * @param {Wanted} wanted
 * @returns {Promise<Job>}
 */
export const changeJob = (id, wanted) => request("PATCH", `prices/poll/${id}`, { body: wanted });

/** @param {string} id */
export const deleteJob = (id) => request("DELETE", `prices/poll/${id}`);

/**
 * @param {string} id
 * @param {"pause" | "resume" | "run"} action
 */
export const actOn = (id, action) => request("POST", `prices/poll/${id}/${action}`);

/**
 * @param {string} id
 * @param {string | null} [cursor]
 */
export const listRuns = (id, cursor) => get(`prices/poll/${id}/runs`, { limit: 20, cursor });
