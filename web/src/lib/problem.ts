// What went wrong, in the server's words or ours, and what to do about it.
export class Problem extends Error {
  constructor(message: string, readonly hint = "", readonly status = 0) {
    super(message);
  }
}
