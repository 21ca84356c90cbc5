// The API key of this session: kept until the tab is closed, and sent to this API only.

const NAME = "api-key";

/** @returns {string | null} */
export function key() {
  try {
    return sessionStorage.getItem(NAME);
  } catch {
    return null;
  }
}

/** @param {string | null} key */
export function setKey(key) {
  try {
    if (key) sessionStorage.setItem(NAME, key);
    else sessionStorage.removeItem(NAME);
  } catch {
    // Without storage the API goes on asking for a key.
  }
  dispatchEvent(new CustomEvent("key-changed"));
}
