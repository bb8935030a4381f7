// What Airflow's REST API knows of the task instance, asked in the user's own session: Airflow decides what may be seen.

/** The documents, by the keys under which the operator writes them. */
const RUN = 'oxiflow_run';
const CHECKPOINTS = 'oxiflow_checkpoints';

/** Until an older Airflow answers that it knows no such address; it is not asked again then. */
let hasStateStore = true;

/** An answer that is no answer: `message` is for the reader, `lasting` when asking again soon brings nothing. */
export class Refused extends Error {
  constructor(message, status, lasting) {
    super(message);
    this.status = status;
    this.lasting = lasting;
  }
}

/**
 * The task instance that the address names. A task that is not mapped has the word {MAP_INDEX} in place of a number, and older
 * versions of Airflow fill in run ids as they are: a plus is a plus.
 */
export function taskOf(search) {
  const parts = new Map(
    search
      .replace(/^\?/, '')
      .split('&')
      .map((part) => [part.split('=', 1)[0], decoded(part)]),
  );
  const index = /^\d+$/.test(parts.get('map') ?? '') ? Number(parts.get('map')) : -1;
  return { dag: parts.get('dag') ?? '', run: parts.get('run') ?? '', task: parts.get('task') ?? '', index };
}

function decoded(part) {
  const value = part.slice(part.indexOf('=') + 1);
  try {
    return decodeURIComponent(value);
  } catch (error) {
    if (error instanceof URIError) return value;
    throw error;
  }
}

/** `{instance, run, checkpoints}`: Airflow's task instance and the operator's documents, null where there are none. */
export async function ask({ dag, run, task, index }, signal) {
  const path = `dags/${encodeURIComponent(dag)}/dagRuns/${encodeURIComponent(run)}/taskInstances/${encodeURIComponent(task)}`;
  const instance = await get(index < 0 ? path : `${path}/${index}`, signal);
  const left = async (key) => value(await get(`${path}/xcomEntries/${key}?map_index=${index}`, signal, true));
  const stored = hasStateStore ? await get(`${path}/state-store?map_index=${index}&limit=100`, signal, true) : null;
  if (stored !== null) {
    const of = (key) => stored.task_state_store.find((entry) => entry.key === key)?.value ?? null;
    const told = { instance, run: of(RUN), checkpoints: of(CHECKPOINTS) ?? [] };
    if (told.run?.state !== 'deferred') return told;
    // The trigger of a deferred task can't write into the state store, and goes on in XComs.
    const since = await left(RUN).catch(notPermitted);
    if (since === null || !(Date.parse(since.updated_at) > Date.parse(told.run.updated_at))) return told;
    return { instance, run: since, checkpoints: (await left(CHECKPOINTS)) ?? told.checkpoints };
  }
  // Airflow before 3.3 has no state store; there the operator leaves the same documents as XComs.
  return { instance, run: await left(RUN), checkpoints: (await left(CHECKPOINTS)) ?? [] };
}

/** Whoever may see the state store may not always see XComs: to them the task is as it was when it was deferred. */
function notPermitted(error) {
  if (error instanceof Refused && error.status === 403) return null;
  throw error;
}

function value(entry) {
  if (typeof entry?.value !== 'string') return entry?.value ?? null;
  try {
    return JSON.parse(entry.value);
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

/** The answer's JSON. With `optional`, null where there is nothing at the path. */
async function get(path, signal, optional = false) {
  // Beside this page, wherever Airflow is served.
  const url = new URL(`../api/v2/${path}`, location.href);
  let answer;
  try {
    answer = await fetch(url, { signal, credentials: 'same-origin', headers: { accept: 'application/json' } });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new Refused("Airflow can't be reached. Trying again.", 0, false);
  }
  if (optional && answer.status === 404) return null;
  // Airflow 3.1 and 3.2 have an address there, of a number: a map index.
  if (answer.status === 422 && path.includes('/state-store?')) {
    hasStateStore = false;
    return null;
  }
  if (!answer.ok) throw new Refused(sentence(answer), answer.status, answer.status < 500);
  try {
    return await answer.json();
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new Refused(
      'Something between this page and Airflow answers in its place. Trying again.',
      answer.status,
      false,
    );
  }
}

function sentence({ status, statusText }) {
  if (status === 401) return 'Your session has ended: log in to Airflow again.';
  if (status === 403) return 'Airflow does not let you see this task.';
  if (status === 404) return 'Airflow does not know this task instance.';
  return `Airflow answered ${`${status} ${statusText}`.trim()}.${status < 500 ? '' : ' Trying again.'}`;
}
