// Asks again and again while there is something to see, and shows what comes.

import { ask, Refused, taskOf } from './ask.js';
import { isLive, view } from './view.js';

/** Milliseconds between two questions: while the task runs, when it has ended (it may be cleared), after errors. */
const LIVE = 2000;
const ENDED = 15_000;
const BROKEN = 5000;
const REFUSED = 30_000;

/** Airflow's theme, where it can be read; what the system prefers, where not. */
function followTheme() {
  const system = matchMedia('(prefers-color-scheme: dark)');
  let frame = null;
  try {
    if (window.parent !== window) frame = window.parent.document.documentElement;
  } catch (error) {
    // Somebody else's frame; the policy of this page lets none in, but a browser may not know it.
    if (!(error instanceof DOMException)) throw error;
  }
  const set = () => {
    const named = ['dark', 'light'].find((theme) => frame?.classList.contains(theme));
    document.documentElement.dataset.theme = named ?? (system.matches ? 'dark' : 'light');
  };
  set();
  system.addEventListener('change', set);
  if (frame !== null) new MutationObserver(set).observe(frame, { attributes: true, attributeFilter: ['class'] });
}

/** That long, and then until somebody looks; who comes back sees the newest at once. */
function pause(milliseconds) {
  const { promise, resolve } = Promise.withResolvers();
  let over = false;
  const timer = setTimeout(() => {
    over = true;
    if (!document.hidden) done();
  }, milliseconds);
  const look = () => {
    if (!document.hidden) done();
  };
  function done() {
    clearTimeout(timer);
    document.removeEventListener('visibilitychange', look);
    resolve(over);
  }
  document.addEventListener('visibilitychange', look);
  return promise;
}

async function follow(task, page) {
  for (;;) {
    let wait;
    try {
      // An answer that never comes is no answer.
      const seen = await ask(task, AbortSignal.timeout(BROKEN * 4));
      page.show(seen);
      wait = isLive(seen) ? LIVE : ENDED;
    } catch (error) {
      if (error instanceof Refused) page.refuse(error);
      else if (error instanceof DOMException)
        page.refuse(new Refused('Airflow does not answer. Trying again.', 0, false));
      else {
        page.refuse(new Refused(`This page can't show the report of the run: ${error.message}`, 0, true));
        throw error;
      }
      wait = error.lasting ? REFUSED : BROKEN;
    }
    await pause(wait);
  }
}

followTheme();
const task = taskOf(location.search);
const page = view(document.getElementById('page'));
if (task.dag && task.run && task.task) await follow(task, page);
else page.refuse(new Refused('This page is a tab of a task instance: open it there.', 404, true));
