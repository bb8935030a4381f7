/**
 * The operations of the backend `redis` that are more than one command: small Lua scripts, each one round trip, of which nobody sees
 * half. What they share, and how a run lies in the server, is in `prelude.ts`.
 */
import { FORMAT } from './head.ts';
import { script } from './prelude.ts';

/** part -> {} or {version, token, written, nonce of the write, document, id of its entry} */
export const READ = script(`
local h = head(ARGV[1])
local d = document(ARGV[1], h)
if not d then return {} end
return {int(d.version), int(highest(h, d)), int(d.at), d.wrote, d.text, d.id}
`);

/**
 * part, expected version, token, nonce, nonce of the expected version where it is known, "1" if that one was ours and
 * acknowledged, whether the run has to be there (see "lost"), document
 * -> {"written", version, token, written, lease, its length} or {"fenced" or "conflict", version, token} or {"lost"}
 *
 * A server that went back (a failover, a log that lost its last second) holds an older version than one that it has acknowledged.
 * Where that one was written by this very holder, and nobody took a token since, the new document goes over what there is: it
 * holds all that was lost, and nobody else can have built upon it. An entry that is added without this script does the same.
 */
export const WRITE = script(`
local part, expected, token, nonce = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local h = head(part)
if lost(ARGV[7]) then return {'lost'} end
local d = document(part, h)
local version, highestToken = d and d.version or 0, highest(h, d)
local function written(v, at) return {'written', int(v), int(token), int(at), h.token == token and h.lease or '0', int(h.ttl)} end
if d and d.wrote == nonce then return written(d.version, d.at) end
local went = ARGV[6] == '1' and version < expected
if token < highestToken then return {'fenced', int(version), int(highestToken)} end
if not went and (version ~= expected or (d and ARGV[5] ~= '' and ARGV[5] ~= d.wrote)) then
  return {'conflict', int(version), int(highestToken)}
end
-- Nothing new is built upon what is damaged; this tells most of it, and reading would tell the rest.
if d and d.text == '' then fault('damaged', part, 'its document is empty') end
redis.call('HSETNX', K, 'born', nonce)
if part == 'run' then redis.call('HDEL', K, 'removed') end
local at = now()
if token > h.token then
  -- A token from elsewhere (that of split-0 in the run's document) ends the lease of a lower one.
  h.lease = '0'
  if (top() or 0) < token then redis.call('HSET', K, 'top', ARGV[3]) end
elseif h.lease == '1' then
  h.renewed = at
end
h.present = '1' h.token = token
-- What lies there without a document being known of it is no version before this one.
if not d then redis.call('DEL', stream(part)) end
redis.call('XADD', stream(part), 'MAXLEN', '~', '2', int(token) .. '-' .. int(expected + 1), nonce .. ' ' .. int(at), ARGV[8])
redis.call('HSET', K, 'h:' .. part, packHead(h), 'd:' .. part, '1')
return written(expected + 1, at)
`);

/**
 * part, token, whether the run has to be there -> {time, length of the lease}, which is renewed, or {} where it is not as its holder
 * knows it. Nothing but the hash is touched, so that commits go on where a cluster has only half of the run.
 */
export const BEAT = script(`
local h = head(ARGV[1])
if int(h.token) ~= ARGV[2] or h.lease ~= '1' or lost(ARGV[3]) then return {} end
h.renewed = now()
redis.call('HSET', K, 'h:' .. ARGV[1], packHead(h))
return {int(h.renewed), int(h.ttl)}
`);

/**
 * part, nonce, ttl, holder, token of a lease whose holder is known to be dead, "1" to take it from anybody, whether the run has to
 * be there, id of the entry that was found to be whole
 * -> {"acquired", token, before, born} or {"held", token, remaining, holder} or {"look"}: read the document first, or {"lost"}
 */
export const ACQUIRE = script(`
local part, nonce = ARGV[1], ARGV[2]
anew = ARGV[7] == '-'
local h = head(part)
if lost(ARGV[7]) then return {'lost'} end
if h.took == nonce then return {'acquired', unpack(taken(part, h))} end
local left = remainingFrom(part, h, now())
if left > 0 and ARGV[6] ~= '1' and int(h.token) ~= ARGV[5] then
  return {'held', int(h.token), int(left), redis.call('HGET', K, 'w:' .. part) or ''}
end
local d = document(part, h)
if d and d.id ~= ARGV[8] then return {'look'} end
take(part, h, d, nonce, ARGV[3], ARGV[4])
if anew then redis.call('HSET', K, 'anew', '1') end
return {'acquired', unpack(taken(part, h))}
`);

/**
 * nonce, ttl, holder, how the holder's host is written in a holder, whether the run has to be there, then for each part its name,
 * the token of a lease whose holder is known to be dead, and the id of the entry that was found to be whole
 * -> {"acquired", part, token, before, born} or {"none", part, token, holder, ...} with the holders on that host, or {"look", part}:
 * read its document first, or {"lost"}
 */
export const CLAIM = script(`
if lost(ARGV[5]) then return {'lost'} end
local nonce = ARGV[1]
local found = {}
for i = 6, #ARGV, 3 do
  local h = head(ARGV[i])
  if h.took == nonce then return {'acquired', ARGV[i], unpack(taken(ARGV[i], h))} end
  found[i] = h
end
local at = now()
local answer = {'none'}
for i = 6, #ARGV, 3 do
  local part, h = ARGV[i], found[i]
  if remainingFrom(part, h, at) == 0 or int(h.token) == ARGV[i + 1] then
    local d = document(part, h)
    if d and d.id ~= ARGV[i + 2] then return {'look', part} end
    take(part, h, d, nonce, ARGV[2], ARGV[3])
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
  lift(part, document(part, h), token)
  redis.call('HSET', K, 'w:' .. part, ARGV[4], 'top', int(math.max(top() or 0, token)))
end
h.renewed = now()
redis.call('HSET', K, 'h:' .. part, packHead(h))
return {'renewed', redis.call('HGET', K, 'born') or ''}
`);

/** part, token */
export const RELEASE = script(`
local h = head(ARGV[1])
if int(h.token) ~= ARGV[2] or h.lease ~= '1' then return 0 end
h.lease = '2'
redis.call('HSET', K, 'h:' .. ARGV[1], packHead(h))
return 1
`);

/** prefix of the part's name -> {part, version, written, token, lease, remaining, holder, ...} */
export const PARTS = script(`
local at = now()
local answer, parts, found, streams = {}, heads(ARGV[1]), {}, {}
for _, part in ipairs(parts) do
  found[part] = head(part)
  if found[part].present == '1' then streams[#streams + 1] = part end
end
need(streams)
for _, part in ipairs(parts) do
  local h = found[part]
  if h.present == '1' or h.lease == '1' then
    local who = h.lease == '1' and redis.call('HGET', K, 'w:' .. part) or ''
    local d = h.present == '1' and newest(part) or nil
    for _, text in ipairs({part, int(d and d.version or 0), int(d and d.at or 0), int(h.token), h.lease, int(remaining(h, at)), who}) do answer[#answer + 1] = text end
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

/** -> 1 where there is anything of the run */
export const IS_THERE = script(`return redis.call('EXISTS', K)`);

/** keys: the run, its requests; part, token -> 0 where another holds the lease */
export const REMOVE = script(`
local h = head(ARGV[1])
if int(h.token) ~= ARGV[2] or h.lease ~= '1' then return 0 end
removeAll(h.token, ARGV[1], now())
redis.call('DEL', KEYS[2])
return 1
`);

/** part, token -> 0 where another holds the lease. Its token is over, too. */
export const REMOVE_PART = script(`
local part = ARGV[1]
local h = head(part)
if int(h.token) ~= ARGV[2] or h.lease ~= '1' then
  -- Asked again because the answer got lost, or somebody else has removed it: nobody holds it.
  return (redis.call('HEXISTS', K, 'h:' .. part) == 0 and h.token >= tonumber(ARGV[2])) and 1 or 0
end
bury(part, h, now())
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
need(withStreams())
local last = tonumber(redis.call('HGET', K, 'removed') or '0') or 0
local removed, documents, run = last > 0, false, nil
local _, went = gone('worker')
last = math.max(last, went)
for _, part in ipairs(heads('')) do
  local h = head(part)
  if remainingFrom(part, h, at) > 0 and not dead[int(h.token)] then return 0 end
  local d = document(part, h)
  last = math.max(last, h.renewed, d and d.at or 0)
  if d then documents = true end
  if d and part == 'run' then run = d end
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
  for _, part in ipairs(withStreams()) do drop(part) end
  redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
  return 2
end
return 0
`);

/** key: the set of run keys */
export const RUNS = script(`return redis.call('SMEMBERS', K)`);
export const ADD_RUN = script(`return redis.call('SADD', K, ARGV[1])`);
export const DROP_RUN = script(`return redis.call('SREM', K, ARGV[1])`);

/**
 * What the scripts call. A user who lacks one of these would have a script end in the middle: that is found out before the first
 * change, where the server can tell (7.0).
 */
const CALLED =
  'time exists type renamenx del hget hset hdel hsetnx hexists hkeys xadd xrange xrevrange xsetid xdel lrange rpush lrem zadd zrangebyscore zrevrange zremrangebyscore sadd srem smembers';

/** key: the store itself; the identity that it gets if it has none yet, or "" for who only looks -> {} or {identity, format} */
export const IDENTITY = script(`
if ARGV[1] ~= '' and redis.acl_check_cmd then
  for name in string.gmatch('${CALLED}', '%a+') do
    if not redis.acl_check_cmd(name, K, K) then fault('denied', name, '') end
  end
end
local id = redis.call('HGET', K, 'id')
if not id then
  if ARGV[1] == '' then return {} end
  redis.call('HSET', K, 'id', ARGV[1], 'format', '${FORMAT}')
  id = ARGV[1]
end
return {id, redis.call('HGET', K, 'format') or '0'}
`);

/** -> the parts of which there is anything in the run, each with its head ("" where there is none) */
export const ALL_HEADS = script(`
local answer, seen = {}, {}
for _, field in ipairs(redis.call('HKEYS', K)) do
  local part = partOf(field, '[hd]')
  if part and not seen[part] then
    seen[part] = true
    answer[#answer + 1] = part answer[#answer + 1] = redis.call('HGET', K, 'h:' .. part) or ''
  end
end
return answer
`);

/** part -> id and document of every entry, oldest first */
export const ENTRIES = script(`
local answer = {}
for _, entry in ipairs(redis.call('XRANGE', stream(ARGV[1]), '-', '+')) do
  answer[#answer + 1] = entry[1] answer[#answer + 1] = entry[2][2]
end
return answer
`);

/**
 * keys: the run, what was set aside; part, head and id of the last entry as they were found, "1" where the head goes aside, name of
 * the place there, then the ids of the entries that go there -> 0 where it was changed meanwhile
 */
export const MEND = script(`
local part, raw = ARGV[1], redis.call('HGET', K, 'h:' .. ARGV[1]) or ''
local d = newest(part)
if raw ~= ARGV[2] or (d and d.id or '') ~= ARGV[3] then return 0 end
if ARGV[4] == '1' then redis.call('HSET', KEYS[2], ARGV[5] .. ' h:' .. part, raw) end
for i = 6, #ARGV do
  local entry = redis.call('XRANGE', stream(part), ARGV[i], ARGV[i])[1]
  redis.call('HSET', KEYS[2], ARGV[5] .. ' ' .. part .. ' ' .. ARGV[i], entry[2][2])
  redis.call('XDEL', stream(part), ARGV[i])
end
local h = {token = 0, lease = '0', ttl = 0, renewed = 0, took = '-'}
-- Whoever held the lease before can't write any more.
h.token = nextToken(h, d)
local good = newest(part)
if good then
  h.present = '1'
  lift(part, good, h.token)
  redis.call('HSET', K, 'd:' .. part, '1')
else
  h.present = '0'
  drop(part)
end
redis.call('HDEL', K, 'w:' .. part, 'b:' .. part)
redis.call('HSET', K, 'top', int(h.token), 'h:' .. part, packHead(h))
return 1
`);

/** keys: one of a run, and where it goes; the type that it should have -> 1 where it had another one, and is there now */
export const EVICT = script(`
local found = redis.call('TYPE', K)
found = found.ok or found
if found == 'none' or found == ARGV[1] then return 0 end
return redis.call('RENAMENX', K, KEYS[2])
`);
