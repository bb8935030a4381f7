import { measureCommits } from './state-commits.ts';
import { median } from './report.ts';
const r = await measureCommits(Number(process.argv[2] ?? 20), 500);
console.log(r.bytes, r.series.map(s => `${s.name} ${median(s.micros).toFixed(1)}`).join(' | '), (median(r.series[2].micros.map((v,i)=>v/r.series[0].micros[i]))).toFixed(2));
