/** The types of `kernel/wasm/memory.ts` and `operations.ts`, which are AssemblyScript and TypeScript at once. */
type u32 = number;
type usize = number;
