// SPDX-License-Identifier: Apache-2.0
// Compares the Cedar engine with the reference on random policy sets: what is
// parsed, its JSON form, the validator's verdict, decisions, reasons, errors;
// on sets and schemas with a character or a token changed: what is refused.
//
//   npm install @cedar-policy/cedar-wasm@4.10.0
//   NODE_PATH=node_modules node tests/unit/policy/cedar/differential.js build/tests/unit/policy/cedar/cedar_oracle [CASES] [SEED]
'use strict';
const cedar = require('@cedar-policy/cedar-wasm/nodejs');
const { spawnSync } = require('child_process');
const [program, cases = '2000', seed0 = '1'] = process.argv.slice(2);

let state = BigInt(seed0) * 0x9e3779b97f4a7c15n + 1n;
const dice = (n) => {
  state = (state * 6364136223846793005n + 1442695040888963407n) & ((1n << 64n) - 1n);
  return Number((state >> 33n) % BigInt(n));
};
const pick = (list) => list[dice(list.length)];
const ID = ['0', '1', '2', '3', 'a b', 'é'];
const uid = (types) => ({ type: pick(types), id: pick(ID) });
const text = (u) => `${u.type}::${JSON.stringify(u.id)}`;

const SCHEMA = `
namespace N { entity G in [G] { n: Long }; }
entity U in [N::G] { n: Long, s?: String, r?: { a?: Long, b: Bool }, f?: U, t: Set<Long>, d?: decimal, at?: datetime } tags Long;
entity R in [R, N::G] { n: Long, o: U, ip?: ipaddr, l: Set<String> };
entity E enum ["0", "1"];
action "0"; action "1" in ["0"]; action "2", "3" in ["1"] appliesTo { principal: [U], resource: [R, E], context: { x?: Long, y: Bool, w?: duration } };
action "a b" appliesTo { principal: [U, N::G], resource: [R] };`;

// Expressions: mostly of the kind that is asked for.
const gen = {
  bool: (d) => d <= 0 ? pick(['true', 'false', 'context.y', 'principal.r.b']) : pick([
    () => `${gen.bool(d - 1)} && ${gen.bool(d - 1)}`, () => `${gen.bool(d - 1)} || ${gen.bool(d - 1)}`,
    () => `!(${gen.bool(d - 1)})`, () => `(if ${gen.bool(d - 1)} then ${gen.bool(d - 1)} else ${gen.bool(d - 1)})`,
    () => `${paren(gen.any(d - 1))} ${pick(['==', '!='])} ${paren(gen.any(d - 1))}`,
    () => `${gen.long(d - 1)} ${pick(['<', '<=', '>', '>='])} ${gen.long(d - 1)}`,
    () => `${gen.ent(d - 1)} in ${pick([() => gen.ent(d - 1), () => `[${gen.ent(d - 1)}, ${gen.ent(d - 1)}]`])()}`,
    () => `${gen.ent(d - 1)} is ${pick(['U', 'R', 'N::G', 'E', 'Action', 'X'])}${pick(['', ` in ${gen.ent(d - 1)}`])}`,
    () => `${pick([gen.ent(d - 1), gen.rec(d - 1), 'context'])} has ${pick(['n', 's', 'x', 'r.a', '"s"', 'f.r.b', 'o.n', 'y', 'zz'])}`,
    () => `${gen.str(d - 1)} like ${JSON.stringify(pick(['*', 'a*', '*b*', 'é', '', '0']))}`,
    () => `${gen.set(d - 1)}.${pick(['contains'])}(${gen.any(d - 1)})`,
    () => `${gen.set(d - 1)}.${pick(['containsAll', 'containsAny'])}(${gen.set(d - 1)})`,
    () => `${gen.set(d - 1)}.isEmpty()`, () => `${gen.ent(d - 1)}.hasTag(${gen.str(d - 1)})`,
    () => `${gen.ip(d - 1)}.${pick(['isIpv4()', 'isIpv6()', 'isLoopback()', 'isMulticast()'])}`,
    () => `${gen.ip(d - 1)}.isInRange(${gen.ip(d - 1)})`,
    () => `${gen.dec(d - 1)}.${pick(['lessThan', 'greaterThanOrEqual'])}(${gen.dec(d - 1)})`,
    () => `${gen.at(d - 1)} ${pick(['<', '>=', '=='])} ${gen.at(d - 1)}`,
    () => `principal has s && principal.s == ${gen.str(d - 1)}`,
    () => `principal.hasTag("0") && principal.getTag("0") == ${gen.long(d - 1)}`,
    () => `principal has r.a && principal.r.a < ${gen.long(d - 1)}`,
  ])(),
  long: (d) => d <= 0 ? pick(['0', '1', '-1', '9223372036854775807', '-9223372036854775808', 'principal.n', 'context.x', '7']) : pick([
    () => `(${gen.long(d - 1)} ${pick(['+', '-', '*'])} ${gen.long(d - 1)})`, () => `-(${gen.long(d - 1)})`,
    () => `${gen.ent(d - 1)}.n`, () => `${gen.ent(d - 1)}.getTag(${gen.str(d - 1)})`,
    () => `${gen.at(d - 1)}.durationSince(${gen.at(d - 1)}).${pick(['toDays()', 'toMilliseconds()', 'toHours()'])}`, () => gen.long(0)])(),
  str: () => pick(['"a"', '""', '"0"', 'principal.s', '"ab\\u{e9}"', '"\\n"']),
  ent: (d) => d <= 0 ? pick(['principal', 'resource', 'action', () => text(uid(['U', 'R', 'N::G', 'Action', 'E'])), () => text(uid(['U', 'R']))].map((x) => x.call ? x() : x))
    : pick([() => `${gen.ent(d - 1)}.${pick(['f', 'o'])}`, () => gen.ent(0), () => gen.ent(0)])(),
  set: (d) => d <= 0 ? pick(['principal.t', 'resource.l', '[1, 2]', '["0"]']) : pick([
    () => `[${gen.any(d - 1)}]`, () => `[${gen.long(d - 1)}, ${gen.long(d - 1)}]`, () => '[]', () => gen.set(0)])(),
  rec: (d) => pick([() => `{n: ${gen.any(d - 1)}, "x": 1}`, () => '{}', () => 'principal.r', () => `{r: {a: ${gen.long(d - 1)}}}`])(),
  ip: () => pick(['ip("10.0.0.0/8")', 'ip("10.1.2.3")', 'ip("::1")', 'resource.ip', 'ip("x")', 'ip("ff00::/8")']),
  dec: () => pick(['decimal("1.5")', 'decimal("-0.0001")', 'principal.d', 'decimal("1")']),
  at: (d) => d <= 0 ? pick(['datetime("2024-02-29")', 'principal.at', 'datetime("1969-12-31T23:59:59.999Z")', 'datetime("2024-02-30")'])
    : pick([() => `${gen.at(d - 1)}.offset(${pick(['duration("1d2h")', 'duration("-1ms")', 'context.w'])})`, () => `${gen.at(d - 1)}.toDate()`, () => gen.at(0)])(),
  any: (d) => gen[pick(['bool', 'long', 'str', 'ent', 'set', 'rec', 'ip', 'dec', 'at', 'long', 'ent'])](d),
};
const paren = (e) => `(${e})`;

function scope(name, types, slot) {
  const u = () => slot && dice(2) ? `?${name}` : text(uid(types));
  return pick([() => name, () => `${name} == ${u()}`, () => `${name} in ${u()}`, () => `${name} is ${pick(types)}`,
    () => `${name} is ${pick(types)} in ${u()}`, () => name])();
}
function policy(template) {
  const action = pick([() => 'action', () => `action == ${text(uid(['Action']))}`, () => `action in ${text(uid(['Action']))}`,
    () => `action in [${text(uid(['Action']))}, ${text(uid(['Action']))}]`, () => 'action in []'])();
  const head = `${pick(['', '@id("x") ', '@a @b("\\u{41}") '])}${pick(['permit', 'permit', 'forbid'])}` +
    `(${scope('principal', ['U', 'N::G'], template)}, ${action}, ${scope('resource', ['R', 'N::G', 'E'], template)})`;
  let out = head;
  for (let n = dice(3); n > 0; n--) out += ` ${pick(['when', 'when', 'unless'])} { ${gen.bool(dice(4))} }`;
  return out + ';';
}
function value(kind) {
  return { n: () => dice(5) - 2, s: () => pick(['a', '', '0']), b: () => dice(2) === 1 }[kind]();
}
function entities() {
  const out = [];
  for (const id of ID) {
    if (dice(4)) {
      const attrs = { n: value('n'), t: [1, dice(3)] };
      if (dice(2)) attrs.s = value('s');
      if (dice(2)) attrs.r = dice(2) ? { b: value('b'), a: dice(4) } : { b: value('b') };
      if (dice(2)) attrs.f = { __entity: uid(['U']) };
      if (dice(2)) attrs.d = { __extn: { fn: 'decimal', arg: pick(['1.5', '-3.25']) } };
      if (dice(2)) attrs.at = { __extn: { fn: 'datetime', arg: '2024-02-29T01:02:03Z' } };
      out.push({ uid: { type: 'U', id }, attrs, parents: [...Array(dice(3))].map(() => uid(['N::G'])), tags: dice(2) ? { 0: dice(3) } : {} });
    }
    if (dice(4)) {
      const attrs = { n: value('n'), o: { __entity: uid(['U']) }, l: ['0', pick(['a', 'b'])] };
      if (dice(2)) attrs.ip = { __extn: { fn: 'ip', arg: pick(['10.9.8.7', '::1']) } };
      out.push({ uid: { type: 'R', id }, attrs, parents: [...Array(dice(2))].map(() => uid(['N::G'])) });
    }
  }
  const chain = ID.slice().sort(() => dice(2) - 0.5);
  chain.forEach((id, i) => dice(3) && out.push({ uid: { type: 'N::G', id }, attrs: { n: i }, parents: i ? [{ type: 'N::G', id: chain[dice(i)] }] : [] }));
  for (const [id, parents] of [['0', []], ['1', ['0']], ['2', ['1']], ['3', ['1']], ['a b', []]])
    out.push({ uid: { type: 'Action', id }, attrs: {}, parents: parents.map((p) => ({ type: 'Action', id: p })) });
  return out;
}
function request() {
  const context = { y: value('b') };
  if (dice(2)) context.x = value('n');
  if (dice(2)) context.w = { __extn: { fn: 'duration', arg: '1h' } };
  return { principal: uid(['U', 'U', 'N::G']), action: uid(['Action']), resource: uid(['R', 'R', 'E']), context };
}
// One character or token is taken out, doubled, or changed for another.
function damaged(s) {
  const tokens = s.match(/\s+|"(?:\\.|[^"\\])*"|[A-Za-z_]\w*|\d+|::|==|!=|<=|>=|&&|\|\||./gsu) || [''];
  const i = dice(tokens.length);
  const others = ['in', 'is', 'has', 'like', 'if', 'then', 'else', '(', ')', '[', ']', '{', '}', ',', ';', '.', '::', '==', '-', '!', '"x"', '1', 'a', 'principal', '?principal', '@', 'true', '=', 'entity', 'Long', '<', '>', '?', ':', '__cedar', '"\\x"', '// c\n'];
  tokens.splice(i, dice(2), ...(dice(3) ? [pick(others)] : []));
  return tokens.join('');
}

const counts = {};
let bad = 0;
function compare(what, a, b, context) {
  counts[what] = (counts[what] || 0) + 1;
  if (JSON.stringify(a) === JSON.stringify(b)) return;
  if (bad++ < 20) console.log(`${what}:\n  reference ${JSON.stringify(a)}\n  here      ${JSON.stringify(b)}\n  ${context}`);
}
const sorted = (x) => Array.isArray(x) ? x.map(sorted) : x && typeof x === 'object'
  ? Object.fromEntries(Object.keys(x).sort().map((k) => [k, sorted(x[k])])) : x;

const questions = [];
for (let n = 0; n < Number(cases); n++) {
  if (n % 4 === 3) {
    const kind = dice(3);
    if (kind === 0) questions.push({ kind: 'schema', schema: damaged(SCHEMA) });
    else questions.push({ kind: 'broken', policies: damaged(policy(dice(3) === 0)) });
    continue;
  }
  const statics = [...Array(1 + dice(6))].map(() => policy(false));
  const templates = [...Array(dice(3))].map(() => policy(true)).filter((t) => /\?/.test(t));
  const links = templates.flatMap((t, i) => dice(4) ? [{ templateId: `policy${statics.length + i}`, newId: `link${i}`,
    values: Object.fromEntries([['?principal', ['U', 'N::G']], ['?resource', ['R', 'N::G']]].filter(([s]) => t.includes(s)).map(([s, types]) => [s, uid(types)])) }] : []);
  questions.push({ kind: 'whole', statics, templates, policies: [...statics, ...templates].join('\n// c\n'), links,
    entities: entities(), requests: [...Array(8)].map(request), schema: SCHEMA });
}
const done = spawnSync(program, { input: questions.map((q) => JSON.stringify(q)).join('\n') + '\n', maxBuffer: 1 << 30, encoding: 'utf8' });
const answers = done.stdout.split('\n').filter((l) => l).map((l) => JSON.parse(l));
if (answers.length !== questions.length) {
  console.log(`the oracle answered ${answers.length} of ${questions.length} (${done.status} ${done.signal}): ${JSON.stringify(questions[answers.length])}\n${done.stderr}`);
  process.exit(1);
}
questions.forEach((q, n) => {
  const a = answers[n];
  if (q.kind === 'schema') {
    const r = cedar.checkParseSchema(q.schema);
    compare('schema taken or refused', r.type === 'success', a.schema, q.schema + '\n' + (a.said || '') + JSON.stringify(r.errors || ''));
    return;
  }
  if (q.kind === 'broken') {
    const parse = (f) => { try { return f().type === 'success'; } catch (e) { return false; } };
    const one = cedar.policySetTextToParts(q.policies);
    compare('policy taken or refused', one.type === 'success', a.parse, q.policies + '\n' + (a.said || '') + JSON.stringify(one.errors || ''));
    return;
  }
  compare('parsed', true, a.parse, q.policies + (a.said || ''));
  compare('same through JSON and the formatter', true, a.same, q.policies);
  [...q.statics, ...q.templates].forEach((p, i) => {
    const r = i < q.statics.length ? cedar.policyToJson(p) : cedar.templateToJson(p);
    if (/\D9223372036854775[78]0[78]\b/.test(p)) return; // beyond JavaScript's numbers
    compare('JSON form', sorted(r.json), sorted(a.est && a.est[i]), p);
  });
  const named = Object.fromEntries(q.statics.map((p, i) => [`policy${i}`, p]));
  const forms = Object.fromEntries(q.templates.map((p, i) => [`policy${q.statics.length + i}`, p]));
  const policies = { staticPolicies: named, templates: forms, templateLinks: q.links };
  const v = cedar.validate({ schema: SCHEMA, policies: { staticPolicies: named, templates: forms } });
  compare('validation', v.type === 'success' && v.validationErrors.length === 0, a.valid, q.policies + JSON.stringify(v.validationErrors || v.errors));
  q.requests.forEach((r, i) => {
    const d = cedar.isAuthorized({ ...r, policies, entities: q.entities });
    const want = d.type === 'success' ? [d.response.decision, d.response.diagnostics.reason.slice().sort(),
      d.response.diagnostics.errors.map((e) => e.policyId).sort()] : d;
    const got = a.decisions && a.decisions[i] && [a.decisions[i][0], a.decisions[i][1].slice().sort(), a.decisions[i][2].slice().sort()];
    compare('decision, reasons and errors', want, got, q.policies + JSON.stringify(r));
  });
});
for (const what of Object.keys(counts).sort()) console.log(`${what}: ${counts[what]} compared`);
console.log(bad ? `${bad} differ` : 'none differs');
process.exit(bad ? 1 : 0);
