// Talking to the server: the token goes in a header, and a failure says whether the server answered at all.

const NAME = "calcscore-review-token";
const PATIENCE_MS = 30000;

// The server could not be asked, or could not answer: what was asked may be asked again.
export class Away extends Error {}

// The server answered no: asking again would not help.
export class Refused extends Error {
  constructor(status, body) {
    super(body.error || `the server answered ${status}`);
    this.status = status;
    this.body = body;
  }
}

// The token comes behind the # of the address, which is never sent, and is taken out of sight at once.
export function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem(NAME, given);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem(NAME);
}

async function ask(path, query, options = {}) {
  const url = new URL(path, location.origin);
  for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
  const headers = { ...options.headers, Authorization: `Bearer ${sessionStorage.getItem(NAME) || ""}` };
  const late = AbortSignal.timeout(PATIENCE_MS);
  const signal = options.signal ? AbortSignal.any([options.signal, late]) : late;
  let answer;
  try {
    answer = await fetch(url, { ...options, headers, signal, cache: options.cache || "default", redirect: "error" });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new Away("the server does not answer");
  }
  if (answer.ok) return answer;
  let body = {};
  try {
    body = await answer.json();
  } catch {
    body = {};
  }
  if ([502, 503, 504].includes(answer.status)) {
    const away = new Away(body.error || "the server is busy");
    away.reading = Boolean(body.reading);
    throw away;
  }
  throw new Refused(answer.status, body);
}

async function read(answer, how) {
  try {
    return await answer[how]();
  } catch {
    throw new Away("the answer broke off");
  }
}

export const get = async (path, query = {}, options = {}) => read(await ask(path, query, options), "json");

export const getBlob = async (path, query = {}, options = {}) => read(await ask(path, query, options), "blob");

export async function post(path, body) {
  const headers = { "Content-Type": "application/json" };
  return read(await ask(path, {}, { method: "POST", headers, body: JSON.stringify(body) }), "json");
}
