/** jq itself, for `json`. */
export { loadJq } from 'jq-wasm';
