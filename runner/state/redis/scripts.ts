/**
 * The operations of the backend `redis` as small Lua scripts: each is one round trip, and nobody sees half of it.
 *
 * All of a run is in one hash. Of each part it holds `h:PART`, the head (see `head.ts`), `t:PART`, when its lease was renewed and
 * its document written (seconds and microseconds of each), `0:PART` and `1:PART`, the documents with an even and an odd version, so that the one before the newest
 * stays, `w:PART`, who holds the lease, and `b:PART`, who held it before. `top` is the highest token of the run, `removed` when it
 * was removed, `born` an identity by which it is known to be the same one. Every change carries a nonce that stays in the head:
 * who asks again with the same one, because the answer got lost, is told what became of the first time.
 */
import { hash } from 'node:crypto';
import { FORMAT } from './head.ts';

export interface Script {
  readonly lua: string;
  readonly sha: string;
}

/** What the scripts share. A fault ends one with `<oxi KIND|PART|TEXT>`, before anything was written. */
export const PRELUDE = `
local K = KEYS[1]
local function fault(kind, part, text) error('<oxi ' .. kind .. '|' .. part .. '|' .. text .. '>') end
local function now() local t = redis.call('TIME') return t[1] * 1000 + math.floor(t[2] / 1000) end
local function int(n) return string.format('%.0f', n) end
local function unpackHead(part, raw, times)
  local sum, text = string.match(raw, '^(%x+) (.*)$')
  if not sum or string.sub(redis.sha1hex(text), 1, 8) ~= sum then fault('damaged', part, 'its head is damaged') end
  local format, rest = string.match(text, '^(%d+) (.*)$')
  if not format then fault('damaged', part, 'its head has no format') end
  if tonumber(format) > ${FORMAT} then fault('newer', part, format) end
  local version, present, token, lease, ttl, wrote, took, docsum =
    string.match(rest, '^(%d+) ([01]) (%d+) ([0-3]) (%d+) (%S+) (%S+) (%S+)$')
  if not version then fault('damaged', part, 'its head has another shape') end
  local rs, ru, ws, wu = string.match(times or '', '^(%d+) (%d+) (%d+) (%d+)$')
  if not rs then fault('damaged', part, 'its times are damaged') end
  return {version = tonumber(version), present = present, token = tonumber(token), lease = lease, ttl = tonumber(ttl),
    renewed = rs * 1000 + math.floor(ru / 1000), written = ws * 1000 + math.floor(wu / 1000), wrote = wrote, took = took, sum = docsum}
end
local function packHead(h)
  local text = table.concat({'${FORMAT}', int(h.version), h.present, int(h.token), h.lease, int(h.ttl), h.wrote, h.took, h.sum}, ' ')
  return string.sub(redis.sha1hex(text), 1, 8) .. ' ' .. text
end
local function packTime(ms) return int(math.floor(ms / 1000)) .. ' ' .. int(ms % 1000 * 1000) end
-- Name and value of the fields that a head is in.
local function fields(part, h)
  return 'h:' .. part, packHead(h), 't:' .. part, packTime(h.renewed) .. ' ' .. packTime(h.written)
end
local function head(part)
  local found = redis.call('HMGET', K, 'h:' .. part, 't:' .. part)
  if found[1] then return unpackHead(part, found[1], found[2]) end
  if redis.call('HEXISTS', K, '0:' .. part) == 1 or redis.call('HEXISTS', K, '1:' .. part) == 1 then
    fault('damaged', part, 'its head is gone')
  end
  return {missing = true, version = 0, present = '0', token = 0, lease = '0', ttl = 0, renewed = 0, written = 0,
    wrote = '-', took = '-', sum = '-'}
end
local function slot(version, part) return int(version % 2) .. ':' .. part end
local function document(part, h)
  if h.present == '0' then return '' end
  local text = redis.call('HGET', K, slot(h.version, part))
  if not text then fault('damaged', part, 'its document is gone') end
  local format, sum, json = string.match(text, '^{"oxiflow_state":(%d+),"sha1":"(%x+)"}\\n(.*)\\n$')
  if sum ~= h.sum or redis.sha1hex(format .. '\\n' .. json) ~= sum then fault('damaged', part, 'its checksum does not match') end
  return text
end
local function top() local n = redis.call('HGET', K, 'top') return n and (tonumber(n) or 0) end
-- Greater than every token before, also on a server that has forgotten them all: the microseconds of its clock.
local function nextToken(h)
  local t = redis.call('TIME')
  return math.max((top() or 0) + 1, h.token + 1, t[1] * 1000000 + t[2])
end
-- Whether the run is missing. "": it need not be there. "~": the project has a note that its document was. Else: its identity.
local function lost(must)
  if must == '' then return false end
  if must ~= '~' then return redis.call('HGET', K, 'born') ~= must end
  return not top() or (head('run').present == '0' and redis.call('HEXISTS', K, 'removed') == 0)
end
local function remaining(h, at)
  if h.lease ~= '1' then return 0 end
  return math.max(0, math.min(h.ttl, h.renewed + h.ttl - at))
end
local function take(part, h, nonce, ttl, who)
  if h.lease == '1' or h.lease == '2' then
    redis.call('HSET', K, 'b:' .. part, int(h.token) .. ' ' .. h.lease .. ' ' .. (redis.call('HGET', K, 'w:' .. part) or ''))
  else
    redis.call('HDEL', K, 'b:' .. part)
  end
  h.token = nextToken(h)
  h.lease = '1' h.ttl = tonumber(ttl) h.renewed = now() h.took = nonce
  redis.call('HSETNX', K, 'born', nonce)
  redis.call('HSET', K, 'top', int(h.token), 'w:' .. part, who, fields(part, h))
end
local function taken(part, h)
  return {int(h.token), redis.call('HGET', K, 'b:' .. part) or '', redis.call('HGET', K, 'born') or ''}
end
local function heads(prefix)
  local names = {}
  for _, field in ipairs(redis.call('HKEYS', K)) do
    if string.sub(field, 1, 2 + #prefix) == 'h:' .. prefix then names[#names + 1] = string.sub(field, 3) end
  end
  return names
end
-- The documents go, the tokens stay: whoever held an earlier one is still turned away.
local function removeAll(token, keep, at)
  for _, part in ipairs(heads('')) do
    local h = head(part)
    h.version = 0 h.present = '0' h.sum = '-' h.wrote = '-' h.token = math.max(h.token, token)
    if part ~= keep then h.lease = '3' end
    redis.call('HDEL', K, '0:' .. part, '1:' .. part)
    redis.call('HSET', K, fields(part, h))
  end
  redis.call('HSET', K, 'removed', int(at), 'top', int(math.max(top() or 0, token)))
end
`;

function named(lua: string): Script {
  return { lua, sha: hash('sha1', lua) };
}

/** With all that the scripts share. */
export function script(lua: string): Script {
  return named(`${PRELUDE}\n${lua}`);
}

/** part -> {} or {version, token, written, nonce of the write, document} */
export const READ = script(`
local h = head(ARGV[1])
if h.present == '0' then return {} end
return {int(h.version), int(h.token), int(h.written), h.wrote, document(ARGV[1], h)}
`);

/**
 * What nearly every commit is: the next version by who wrote the one before. Two scripts, by whether the version before is odd.
 * part, head of the version before, the next head, document -> 1, or 0 where anything is not exactly as its writer left it: what
 * is the matter is for WRITE to find out.
 *
 * Nothing but times stands outside a head, and each has its nonce: where it is the same to the byte, so are version, token, lease
 * and run. A head that is replaced is never found again, so that what comes twice, or late, changes nothing. Whatever is not
 * needed is left out, and no document read: each call, and each byte that becomes a text of Lua, is felt in every commit.
 */
export const NEXT = [nextVersion(0, 1), nextVersion(1, 0)] as const;

function nextVersion(old: number, next: number): Script {
  return named(`
local k, part, call = KEYS[1], ARGV[1], redis.call
local name = 'h:' .. part
if call('HGET', k, name) ~= ARGV[2] or call('HSTRLEN', k, '${old}:' .. part) == 0 then return 0 end
local t = call('TIME')
local at = t[1] .. ' ' .. t[2]
call('HSET', k, name, ARGV[3], 't:' .. part, at .. ' ' .. at, '${next}:' .. part, ARGV[4])
return 1
`);
}

/**
 * part, expected version, token, nonce, nonce of the expected version where it is known, "1" if that one was ours and
 * acknowledged, whether the run has to be there (see "lost"), checksum, document -> {outcome, version, token, head where it is written}
 *
 * A server that went back (a failover, a log that lost its last second) holds an older version than one that it has acknowledged.
 * Where that one was written by this very holder, and nobody took a token since, the new document goes over what there is: it
 * holds all that was lost, and nobody else can have built upon it.
 */
export const WRITE = script(`
local part, expected, token, nonce = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local h = head(part)
if lost(ARGV[7]) then return {'lost'} end
if h.wrote == nonce then return {'written', int(h.version), int(h.token), packHead(h)} end
local version = h.present == '1' and h.version or 0
local went = ARGV[6] == '1' and version < expected
if token < h.token then document(part, h) return {'fenced', int(version), int(h.token)} end
if not went and (version ~= expected or (ARGV[5] ~= '' and ARGV[5] ~= h.wrote)) then
  document(part, h)
  return {'conflict', int(version), int(h.token)}
end
-- Nothing new is built upon what is damaged; the length tells most of it, and reading would tell the rest.
if version > 0 and redis.call('HSTRLEN', K, slot(version, part)) == 0 then document(part, h) end
redis.call('HSETNX', K, 'born', nonce)
if part == 'run' then redis.call('HDEL', K, 'removed') end
local at = now()
local old = h.token
h.version = expected + 1 h.present = '1' h.token = token h.written = at h.wrote = nonce h.sum = ARGV[8]
if token > old then
  -- A token from elsewhere (that of split-0 in the run's document) ends the lease of a lower one.
  h.lease = '0'
  if (top() or 0) < token then redis.call('HSET', K, 'top', ARGV[3]) end
elseif h.lease == '1' then
  h.renewed = at
end
redis.call('HSET', K, slot(h.version, part), ARGV[9], fields(part, h))
return {'written', int(h.version), int(token), packHead(h)}
`);

/**
 * part, nonce, ttl, holder, token of a lease whose holder is known to be dead, "1" to take it from anybody, whether the run has to
 * be there -> {"acquired", token, before, born} or {"held", token, remaining, holder} or {"lost"}
 */
export const ACQUIRE = script(`
local part, nonce = ARGV[1], ARGV[2]
local h = head(part)
if lost(ARGV[7]) then return {'lost'} end
if h.took == nonce then return {'acquired', unpack(taken(part, h))} end
document(part, h)
local left = remaining(h, now())
if left > 0 and ARGV[6] ~= '1' and int(h.token) ~= ARGV[5] then
  return {'held', int(h.token), int(left), redis.call('HGET', K, 'w:' .. part) or ''}
end
take(part, h, nonce, ARGV[3], ARGV[4])
return {'acquired', unpack(taken(part, h))}
`);

/**
 * nonce, ttl, holder, how the holder's host is written in a holder, whether the run has to be there, then for each part its name
 * and the token of a lease whose holder is known to be dead
 * -> {"acquired", part, token, before, born} or {"none", part, token, holder, ...} with the holders on that host, or {"lost"}
 */
export const CLAIM = script(`
if lost(ARGV[5]) then return {'lost'} end
local nonce = ARGV[1]
local found = {}
for i = 6, #ARGV, 2 do
  local h = head(ARGV[i])
  if h.took == nonce then return {'acquired', ARGV[i], unpack(taken(ARGV[i], h))} end
  found[i] = h
end
local at = now()
local answer = {'none'}
for i = 6, #ARGV, 2 do
  local part, h = ARGV[i], found[i]
  if remaining(h, at) == 0 or int(h.token) == ARGV[i + 1] then
    document(part, h)
    take(part, h, nonce, ARGV[2], ARGV[3])
    return {'acquired', part, unpack(taken(part, h))}
  end
  local who = redis.call('HGET', K, 'w:' .. part) or ''
  if string.find(who, ARGV[4], 1, true) then
    answer[#answer + 1] = part answer[#answer + 1] = int(h.token) answer[#answer + 1] = who
  end
end
return answer
`);

/**
 * part, token, ttl, holder, identity of the run where it is known -> {"renewed", born}, {"gone"}, or {"lost"} where nothing of the
 * run is there.
 *
 * A head without this token, or with a lower one, is that of a server that went back behind the acquisition. Nobody took the
 * lease since, or its token would be higher: it is put back.
 */
export const RENEW = script(`
local part, token = ARGV[1], tonumber(ARGV[2])
local h = head(part)
if not top() or lost(ARGV[5]) then return {'lost'} end
if h.token > token or (h.token == token and (h.lease == '2' or h.lease == '3')) then return {'gone'} end
if h.token < token or h.lease == '0' then
  h.token = token h.lease = '1' h.ttl = tonumber(ARGV[3])
  redis.call('HSET', K, 'w:' .. part, ARGV[4], 'top', int(math.max(top() or 0, token)))
end
h.renewed = now()
redis.call('HSET', K, fields(part, h))
return {'renewed', redis.call('HGET', K, 'born') or ''}
`);

/** part, token */
export const RELEASE = script(`
local h = head(ARGV[1])
if int(h.token) ~= ARGV[2] or h.lease ~= '1' then return 0 end
h.lease = '2'
redis.call('HSET', K, fields(ARGV[1], h))
return 1
`);

/** prefix of the part's name -> {part, version, written, token, lease, remaining, holder, ...} */
export const PARTS = script(`
local at = now()
local answer = {}
for _, part in ipairs(heads(ARGV[1])) do
  local h = head(part)
  if h.present == '1' or h.lease == '1' then
    local who = h.lease == '1' and redis.call('HGET', K, 'w:' .. part) or ''
    for _, text in ipairs({part, int(h.present == '1' and h.version or 0), int(h.written), int(h.token), h.lease,
      int(remaining(h, at)), who}) do answer[#answer + 1] = text end
  end
end
return answer
`);

/** part -> {} or {token, remaining, holder} */
export const STANDING = script(`
local h = head(ARGV[1])
if h.lease ~= '1' then return {} end
return {int(h.token), int(remaining(h, now())), redis.call('HGET', K, 'w:' .. ARGV[1]) or ''}
`);

/** keys: the run, its requests; part, token -> 0 where another holds the lease */
export const REMOVE = script(`
local h = head(ARGV[1])
if int(h.token) ~= ARGV[2] or h.lease ~= '1' then return 0 end
removeAll(h.token, ARGV[1], now())
redis.call('DEL', KEYS[2])
return 1
`);

/** part, token, nonce -> 0 where another holds the lease. Its token is over, too. */
export const REMOVE_PART = script(`
local part = ARGV[1]
local h = head(part)
if h.wrote == ARGV[3] then return 1 end
if int(h.token) ~= ARGV[2] or h.lease ~= '1' then return 0 end
h.version = 0 h.present = '0' h.sum = '-' h.wrote = ARGV[3] h.lease = '3' h.token = nextToken(h)
redis.call('HDEL', K, '0:' .. part, '1:' .. part, 'w:' .. part, 'b:' .. part)
redis.call('HSET', K, 'top', int(h.token), fields(part, h))
return 1
`);

/**
 * keys: the run, its requests, what was set aside; version and nonce of the run's document where it was found to be finished long
 * ago, age in milliseconds, then the tokens of leases whose holders are known to be dead
 * -> 1: its documents are removed, 2: nothing is left, 0: it stays
 */
export const PURGE = script(`
local at, age = now(), tonumber(ARGV[3])
local dead = {}
for i = 4, #ARGV do dead[ARGV[i]] = true end
local last = tonumber(redis.call('HGET', K, 'removed') or '0') or 0
local removed, documents, run = last > 0, false, nil
for _, part in ipairs(heads('')) do
  local h = head(part)
  if remaining(h, at) > 0 and not dead[int(h.token)] then return 0 end
  last = math.max(last, h.renewed, h.written)
  if h.present == '1' then documents = true end
  if h.present == '1' and part == 'run' then run = h end
end
if run then
  if ARGV[1] ~= int(run.version) or ARGV[2] ~= run.wrote then return 0 end
  removeAll(run.token, '', at)
  redis.call('DEL', KEYS[2])
  return 1
end
-- Removed long ago: by now nobody can hold a token of it. What never came to a document waits twice as long, so that a note of
-- it in a project is forgotten before it is.
if (removed and not documents and last <= at - age) or last <= at - 2 * age then
  redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
  return 2
end
return 0
`);

/** key: the set of run keys */
export const RUNS = script(`return redis.call('SMEMBERS', K)`);
export const ADD_RUN = script(`return redis.call('SADD', K, ARGV[1])`);
export const DROP_RUN = script(`return redis.call('SREM', K, ARGV[1])`);

/** key: the store itself; the identity that it gets if it has none yet, or "" -> {} or {identity, format} */
export const IDENTITY = script(`
local id = redis.call('HGET', K, 'id')
if not id then
  if ARGV[1] == '' then return {} end
  redis.call('HSET', K, 'id', ARGV[1], 'format', '${FORMAT}')
  id = ARGV[1]
end
return {id, redis.call('HGET', K, 'format') or '0'}
`);

/** -> every field of the run, raw */
export const DUMP = script(`return redis.call('HGETALL', K)`);

/**
 * keys: the run, what was set aside; part, its head as it was found, version and checksum that become the newest ("0" for none),
 * name of the place aside, then the fields that go there -> 0 where it was changed meanwhile
 */
export const MEND = script(`
local part, version = ARGV[1], tonumber(ARGV[3])
if (redis.call('HGET', K, 'h:' .. part) or '') ~= ARGV[2] then return 0 end
for i = 6, #ARGV do
  local value = redis.call('HGET', K, ARGV[i])
  if value then redis.call('HSET', KEYS[2], ARGV[5] .. ' ' .. ARGV[i], value) redis.call('HDEL', K, ARGV[i]) end
end
local h = {version = version, present = version > 0 and '1' or '0', token = 0, lease = '0', ttl = 0, renewed = 0, written = now(),
  wrote = '-', took = '-', sum = ARGV[4]}
-- Whoever held the lease before can't write any more.
h.token = nextToken(h)
redis.call('HDEL', K, 'w:' .. part, 'b:' .. part)
redis.call('HSET', K, 'top', int(h.token), fields(part, h))
return 1
`);

/** keys: one of a run, and where it goes; the type that it should have -> 1 where it had another one, and is there now */
export const EVICT = script(`
local found = redis.call('TYPE', K)
found = found.ok or found
if found == 'none' or found == ARGV[1] then return 0 end
return redis.call('RENAMENX', K, KEYS[2])
`);
