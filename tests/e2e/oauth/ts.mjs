// The TypeScript SDKs sign in: `ts.mjs v1|v2`. JSON lines in, JSON lines out, as in ../driver.mjs; `authorize` asks for a
// person who opens an address, and `callback` is the address that the person's browser was sent back to.
import { randomUUID } from 'node:crypto';
import { createInterface } from 'node:readline';

const { Client, SSEClientTransport, StreamableHTTPClientTransport, UnauthorizedError } =
  process.argv[2] === 'v2'
    ? await import('@modelcontextprotocol/client')
    : {
        ...(await import('@modelcontextprotocol/sdk/client/index.js')),
        ...(await import('@modelcontextprotocol/sdk/client/sse.js')),
        ...(await import('@modelcontextprotocol/sdk/client/streamableHttp.js')),
        ...(await import('@modelcontextprotocol/sdk/client/auth.js')),
      };

const say = message => process.stdout.write(JSON.stringify(message) + '\n');
const kept = {};
let spec, client, transport, callback;

const provider = {
  get redirectUrl() {
    return spec.redirect;
  },
  get clientMetadataUrl() {
    return spec.clientMetadataUrl;
  },
  get clientMetadata() {
    return {
      client_name: `TypeScript ${process.argv[2]}`,
      redirect_uris: [spec.redirect],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: spec.method ?? 'none',
    };
  },
  state: () => (kept.state = randomUUID()),
  clientInformation: () => kept.client,
  saveClientInformation: told => void (kept.client = told),
  tokens: () => kept.tokens,
  saveTokens: told => {
    kept.tokens = told;
    kept.saved = (kept.saved ?? 0) + 1;
  },
  redirectToAuthorization: url => say({ authorize: String(url) }),
  saveCodeVerifier: verifier => void (kept.verifier = verifier),
  codeVerifier: () => kept.verifier,
  invalidateCredentials(scope) {
    if (scope === 'all' || scope === 'client') delete kept.client;
    if (scope === 'all' || scope === 'tokens') delete kept.tokens;
  },
};

// Does what needs a sign-in: once more when a person has been asked.
async function signedIn(work) {
  callback = Promise.withResolvers();
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof UnauthorizedError)) throw error;
  }
  const back = new URL(await callback.promise).searchParams;
  if (back.get('state') !== kept.state) throw new Error('the state is another');
  if (back.get('error')) throw new Error(`refused: ${back.get('error')}`);
  await transport.finishAuth(process.argv[2] === 'v2' ? back : back.get('code'));
  return await work(true);
}

async function connect() {
  const Transport = spec.transport === 'sse' ? SSEClientTransport : StreamableHTTPClientTransport;
  transport = new Transport(new URL(spec.url), { authProvider: provider });
  const options = process.argv[2] === 'v2' ? { versionNegotiation: { mode: spec.era ?? 'auto' } } : {};
  client = new Client({ name: process.argv[2], version: '1.0.0' }, options);
  await client.connect(transport);
}

const operations = {
  async connect(command) {
    spec = command;
    await signedIn(connect);
    return { server: client.getServerVersion().name, client: kept.client?.client_id, scope: kept.tokens?.scope };
  },
  list: async () => (await client.listTools()).tools.map(tool => tool.name),
  call: ({ tool }) => signedIn(() => client.callTool({ name: tool, arguments: {} })),
  // The access token ends; what is left is the refresh token.
  expire: async () => void (kept.tokens = { ...kept.tokens, access_token: `${kept.tokens.access_token}x` }),
  forget: async () => void delete kept.tokens.refresh_token,
  kept: async () => ({ saved: kept.saved, tokens: kept.tokens }),
  async close() {
    await client.close();
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  if (command.op === 'callback') callback.resolve(command.url);
  else {
    operations[command.op](command).then(
      result => say({ id: command.id, result: result ?? null }),
      error => say({ id: command.id, error: `${error.name}: ${error.message}` }),
    );
  }
}
process.exit(0);
