// A worker that never becomes ready: it throws while it is loaded.
throw new Error('this worker throws at start');
