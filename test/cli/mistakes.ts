/** Writes `runner/cli/MISTAKES.md` anew from the table of mistakes. */
import { writeFileSync } from 'node:fs';
import { mistakesPage } from './cases/mistakes.ts';

writeFileSync(new URL('../../runner/cli/MISTAKES.md', import.meta.url), mistakesPage());
