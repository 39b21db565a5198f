// The worker of the fuzzing example, and nothing else. A failure is the worker's own: the page hears of it as an error.
import { fuzzOn } from '../src/app/fuzz-loop.ts';

fuzzOn((news) => self.postMessage(news)).catch((error: unknown) => {
  setTimeout(() => {
    throw error;
  });
});
