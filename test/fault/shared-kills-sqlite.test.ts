import { sharedKillTests } from './shared-kills.ts';

sharedKillTests('sqlite');
