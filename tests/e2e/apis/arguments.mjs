// Makes up arguments for tools, with json-schema-faker. Reads `[{"name", "inputSchema"}]` from stdin, prints for each name
// a list of arguments: what is required and no more, everything, and half of it. The same schemas give the same arguments.
import { text } from 'node:stream/consumers';
import { JSONSchemaFaker as faker } from 'json-schema-faker';

/** A generator of numbers in [0, 1) that a text seeds (FNV-1a, then mulberry32). */
function dice(seed) {
  let state = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(seed)) state = Math.imul(state ^ byte, 0x01000193);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The schema with what the generator does not know put in words that it does. */
function known(schema) {
  if (Array.isArray(schema)) return schema.map(known);
  if (typeof schema !== 'object' || schema === null) return schema;
  if (schema.contentEncoding === 'base64') return { enum: ['', 'AA==', '//79', 'aGVsbG8sIHdvcmxk'] };
  const { exclusiveMinimum: above } = schema;
  if (typeof above === 'number') return known({ ...schema, exclusiveMinimum: undefined, minimum: above + 1 });
  return Object.fromEntries(Object.entries(schema).map(([name, value]) => [name, known(value)]));
}

const AMOUNTS = [
  { requiredOnly: true },
  { requiredOnly: false, alwaysFakeOptionals: true, optionalsProbability: false },
  { requiredOnly: false, alwaysFakeOptionals: false, optionalsProbability: 0.5 },
];

const made = {};
for (const { name, inputSchema } of JSON.parse(await text(process.stdin))) {
  made[name] = AMOUNTS.map((amount, number) => {
    faker.option({
      alwaysFakeOptionals: false,
      fillProperties: false,
      failOnInvalidFormat: false,
      maxItems: 3,
      ...amount,
      random: dice(`${name} ${number}`),
    });
    return faker.generate(known(inputSchema));
  });
}
process.stdout.write(JSON.stringify(made));
