// How far a job is, in words.

import { duration, whole } from "../format";
import type { Job } from "../types";

export const ended = ({ state }: Job): boolean => state === "done" || state === "failed" || state === "stopped";

// null where nobody knows
export const share = ({ done, total }: Job): number | null => (total > 0 ? Math.min(done / total, 1) : null);

export function progressWords(job: Job): string {
  const { state, done, total, unit, seconds } = job;
  if (state === "waiting") return "waits for its turn";
  if (state === "done") return seconds ? `done in ${spent(seconds)}` : ""; // a file does not say how long it took
  if (state === "failed") return "failed";
  const sofar = total ? `${whole(done)} of ${whole(total)} ${unit}`.trim() : "";
  if (state === "stopped") return ["stopped", sofar].filter(Boolean).join(" after ");
  const rate = done > 0 && seconds > 0 ? done / seconds : 0;
  return [
    sofar || `running for ${duration(seconds)}`,
    rate ? rateWords(rate) : "",
    rate && total > done ? `${duration((total - done) / rate)} left` : "",
  ].filter(Boolean).join(" · ");
}

const rateWords = (rate: number): string => (rate >= 1 ? `${rate >= 100 ? whole(Math.round(rate)) : rate.toFixed(rate >= 10 ? 0 : 1)} a second` : `${(1 / rate).toFixed(1)} s each`);

const spent = (seconds: number): string => (seconds < 60 ? `${seconds.toFixed(1)} s` : duration(seconds));
