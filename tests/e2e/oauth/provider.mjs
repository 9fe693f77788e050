// An issuer by somebody else: oidc-provider, for any resource on loopback. Says where it listens on stderr; each line on
// stdin is a command: `rotate` gives it a new key and forgets the old one. Programs that call themselves `opaque` get
// tokens that have to be asked about; what is for a resource with `brief` in its name ends after six seconds.
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import Provider from 'oidc-provider';

const SCOPES = 'docs:read docs:write';

function newKey() {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg: 'ES256' };
}

const confidential = { grant_types: ['client_credentials'], redirect_uris: [], response_types: [] };
const clients = ['robot', 'gateway'].map(client_id => ({ client_id, client_secret: `${client_id}+secret=`, ...confidential }));

function provider(issuer) {
  return new Provider(issuer, {
    clients,
    jwks: { keys: [newKey()] },
    cookies: { keys: ['tests'] },
    scopes: ['openid', 'offline_access', 'email', 'profile', ...SCOPES.split(' ')],
    claims: { email: ['email', 'email_verified'], profile: ['name'] },
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    enabledJWA: { idTokenSigningAlgValues: ['ES256'] },
    pkce: { required: () => true },
    rotateRefreshToken: true,
    issueRefreshToken: () => true,
    findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub, name: `${sub} the Great`, email: `${sub}@example.org`, email_verified: true }) }),
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: true },
      introspection: { enabled: true, allowedPolicy: () => true },
      registration: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: (_, resource, client) => ({
          scope: SCOPES,
          audience: resource,
          accessTokenTTL: resource.includes('brief') ? 6 : 300,
          accessTokenFormat: client.clientName === 'opaque' ? 'opaque' : 'jwt',
          jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
  });
}

let answer;
const server = createServer((request, response) => answer(request, response));
server.listen(Number(process.argv[2] ?? 0), '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  answer = provider(issuer).callback();
  process.stderr.write(`listening on ${issuer.slice('http://'.length)}\n`);
  const commands = createInterface({ input: process.stdin });
  commands.on('close', () => process.exit(0));
  commands.on('line', () => {
    answer = provider(issuer).callback();
    process.stdout.write('rotated\n');
  });
});
