// The worker that draws the screens of all machines of the page, and nothing else.
import { servePaintRequests } from '../src/app/screen-painter.ts';

servePaintRequests(globalThis);
