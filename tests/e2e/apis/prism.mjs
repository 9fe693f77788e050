// Runs Prism's mock server, as `prism mock --errors` does, for each document named on the command line, all in one process.
// Prints a JSON line for each server (`{"document", "url"}`), then one for each request that Prism got (`{"document", "request"}`)
// and for each thing that it has to say against one (`{"document", "complaint", "request"?}`).
import { basename } from 'node:path';
import { Writable } from 'node:stream';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
// Node would close a connection after five seconds of silence; a call that goes out on one just then is no matter here.
const http = require('node:http');
const { createServer: listen } = http;
http.createServer = (...args) => Object.assign(listen(...args), { keepAliveTimeout: 600_000 });

const { createLogger } = require('@stoplight/prism-core');
const { getHttpOperationsFromSpec } = require('@stoplight/prism-http');
const { createServer } = require('@stoplight/prism-http-server');

const say = message => process.stdout.write(JSON.stringify(message) + '\n');
// Where pino's errors begin; what Prism warns of is how it chose an answer.
const ERROR = 50;

/** A stream that takes the log of one server, a JSON line for each entry. */
function listener(document) {
  return new Writable({
    write(chunk, _encoding, done) {
      for (const line of chunk.toString().split('\n').filter(Boolean)) {
        const { level, msg: message, input: request } = JSON.parse(line);
        if (message === 'Request received') say({ document, request });
        else if (level >= ERROR) say({ document, complaint: message, request });
      }
      done();
    },
  });
}

// Documents say such headers of the real service's connections; Prism would send them, and they would be untrue.
const OF_THE_CONNECTION = ['connection', 'content-encoding', 'content-length', 'transfer-encoding'];

async function operations(file) {
  const found = await getHttpOperationsFromSpec(file);
  for (const response of found.flatMap(operation => operation.responses)) {
    response.headers = response.headers?.filter(({ name }) => !OF_THE_CONNECTION.includes(name.toLowerCase()));
  }
  return found;
}

async function mock(file) {
  const document = basename(file);
  const server = createServer(await operations(file), {
    cors: true,
    config: {
      isProxy: false,
      validateRequest: true,
      // What it answers with are the document's own examples; whether they are right is not asked here.
      validateResponse: false,
      checkSecurity: true,
      errors: true,
      upstreamProxy: undefined,
      mock: { dynamic: false, ignoreExamples: false, seed: null },
    },
    components: { logger: createLogger('prism', { level: 'info' }, listener(document)) },
  });
  say({ document, url: await server.listen(0, '127.0.0.1') });
}

for (const file of process.argv.slice(2)) await mock(file);
