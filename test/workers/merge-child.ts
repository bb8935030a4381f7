/** Puts the parts of a shared run together, in a process that may be killed on the way: folder, token and the groups' outputs. */
import { Scene } from './scene.ts';

const [folder = '', token = '', groups = ''] = process.argv.slice(2);
const scene = Scene.at(folder);
const outputs = await scene.merge(JSON.parse(groups), Number(token));
process.stdout.write(JSON.stringify(outputs));
