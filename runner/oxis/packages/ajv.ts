/** JSON Schema, for `validate`. */
import addFormatsModule from 'ajv-formats';

export { Ajv2020 } from 'ajv/dist/2020.js';
export const addFormats = addFormatsModule.default;
