import { crashPointTests } from './crash-points.ts';

crashPointTests('file');
