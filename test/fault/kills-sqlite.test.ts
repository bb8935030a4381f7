import { killTests } from './kills.ts';

killTests('sqlite');
