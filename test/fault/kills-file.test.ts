import { killTests } from './kills.ts';

killTests('file');
