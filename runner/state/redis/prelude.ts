/**
 * What the scripts of the backend `redis` share, and how a run lies in the server.
 *
 * The hash of a run holds of each part `h:PART`, its head (see `head.ts`), `d:PART` where it has a document, `w:PART`, who holds the
 * lease, and `b:PART`, who held it before. `top` is the highest token of the run, `removed` when it was removed, `born` an identity
 * by which it is known to be the same one. Of parts that were removed one by one (workers that went) nothing stays but `g:KIND`: a
 * token above all of theirs, and when the last one went. `anew` is there where it was
 * begun anew, `hard` means nothing: see `Connections.confirm`.
 *
 * The documents of a part are the entries of a stream beside the hash (`HASH:PART`). An entry's ID is TOKEN-VERSION, its field the
 * nonce of the write and the milliseconds of the server's clock, its value the document. The server takes no ID that is not above
 * the last one: so a commit is one XADD, without a script, and an earlier version or a lower token is refused. Whoever takes the
 * lease lifts the last ID to TOKEN-0. The newest entry is the document; a few before it stay, for `repair`.
 *
 * Every change carries a nonce: who asks again with the same one, because the answer got lost, is told what became of the first time.
 */
import { hash } from 'node:crypto';
import { FORMAT } from './head.ts';

export interface Script {
  readonly lua: string;
  readonly sha: string;
}

/**
 * A fault ends a script with `<oxi KIND|PART|TEXT>`, before anything was written that counts.
 *
 * A script names every key that it touches, or a cluster in which the slot is on its way to another server would let it see half
 * of a run. Streams are named behind the other keys; which ones it takes, the script may have to find out: it ends with the fault
 * "unnamed", and is asked again with them. One that was not there yet is waited for until the slot has arrived.
 */
export const PRELUDE = `
local K = KEYS[1]
local named = {}
for _, key in ipairs(KEYS) do named[key] = true end
local function fault(kind, part, text) error('<oxi ' .. kind .. '|' .. part .. '|' .. text .. '>') end
local function now() local t = redis.call('TIME') return t[1] * 1000 + math.floor(t[2] / 1000) end
local function int(n) return string.format('%.0f', n) end
local function need(parts)
  local missing = {}
  for _, part in ipairs(parts) do
    if not named[K .. ':' .. part] then missing[#missing + 1] = part end
  end
  if #missing > 0 then fault('unnamed', table.concat(missing, ','), '') end
end
local function stream(part) need({part}) return K .. ':' .. part end
local function kind(part) return string.match(part, '^%a+') end
local function unpackHead(part, raw)
  local sum, text = string.match(raw, '^(%x+) (.*)$')
  if not sum or string.sub(redis.sha1hex(text), 1, 8) ~= sum then fault('damaged', part, 'its head is damaged') end
  local format, rest = string.match(text, '^(%d+) (.*)$')
  if not format then fault('damaged', part, 'its head has no format') end
  if tonumber(format) > ${FORMAT} then fault('newer', part, format) end
  if tonumber(format) < ${FORMAT} then fault('older', part, format) end
  local present, token, lease, ttl, renewed, took = string.match(rest, '^([01]) (%d+) ([0-3]) (%d+) (%d+) (%S+)$')
  if not present then fault('damaged', part, 'its head has another shape') end
  return {present = present, token = tonumber(token), lease = lease, ttl = tonumber(ttl), renewed = tonumber(renewed), took = took}
end
local function packHead(h)
  local text = table.concat({'${FORMAT}', h.present, int(h.token), h.lease, int(h.ttl), int(h.renewed), h.took}, ' ')
  return string.sub(redis.sha1hex(text), 1, 8) .. ' ' .. text
end
-- Of the parts of a kind that were removed one by one: a token above all of theirs, and when the last one went.
local function gone(part)
  local token, at = string.match(redis.call('HGET', K, 'g:' .. kind(part)) or '', '^(%d+) (%d+)$')
  return tonumber(token), tonumber(at or '0')
end
-- A hash that was evicted leaves streams behind. Whoever starts over has nothing to do with them.
local anew = false
local function isLeftOver(part)
  local key = K .. ':' .. part
  return named[key] and redis.call('EXISTS', key) == 1 and not anew and redis.call('HEXISTS', K, 'anew') == 0
end
local function head(part)
  local raw = redis.call('HGET', K, 'h:' .. part)
  if raw then return unpackHead(part, raw) end
  if redis.call('HEXISTS', K, 'd:' .. part) == 1 or isLeftOver(part) then fault('damaged', part, 'its head is gone') end
  local token, at = gone(part)
  return {present = '0', token = token or 0, lease = token and '3' or '0', ttl = 0, renewed = at, took = '-'}
end
-- The last entry, without a look at the head.
local function newest(part)
  local found = redis.pcall('XREVRANGE', stream(part), '+', '-', 'COUNT', 1)
  if found.err and string.find(found.err, 'WRONGTYPE', 1, true) then fault('damaged', part, 'its documents are no stream') end
  if found.err then error(found.err) end
  local entry = found[1]
  if not entry then return nil end
  local token, version = string.match(entry[1], '^(%d+)%-(%d+)$')
  local wrote, at = string.match(entry[2][1], '^(%S+) (%d+)$')
  return {id = entry[1], token = tonumber(token), version = tonumber(version), wrote = wrote or '-', at = tonumber(at or '0'),
    text = entry[2][2]}
end
-- What is in it is for who asked to look at: the server knows no checksum that is as cheap as the one that it bears.
local function document(part, h)
  if h.present == '0' then return nil end
  local d = newest(part)
  if not d then fault('damaged', part, 'its document is gone') end
  return d
end
-- A server that went back can hold a document of a token that its head does not know any more.
local function highest(h, d) return math.max(h.token, d and d.token or 0) end
local function top() local n = redis.call('HGET', K, 'top') return n and (tonumber(n) or 0) end
-- Greater than every token before, also on a server that has forgotten them all: the microseconds of its clock.
local function nextToken(h, d)
  local t = redis.call('TIME')
  return math.max((top() or 0) + 1, highest(h, d) + 1, t[1] * 1000000 + t[2])
end
-- From here on no lower token adds anything.
local function lift(part, d, token)
  if d and d.token < token then redis.call('XSETID', stream(part), int(token) .. '-0') end
end
local function drop(part) redis.call('DEL', stream(part)) redis.call('HDEL', K, 'd:' .. part) end
local function hasStream(part) return redis.call('HEXISTS', K, 'd:' .. part) == 1 end
-- Whether the run is missing. "": it need not be there, "-": it starts over. "~": the project has a note that its document was. Else: its identity.
local function lost(must)
  if must == '' or must == '-' then return false end
  if must ~= '~' then return redis.call('HGET', K, 'born') ~= must end
  return not top() or (head('run').present == '0' and redis.call('HEXISTS', K, 'removed') == 0)
end
local function remaining(h, at)
  if h.lease ~= '1' then return 0 end
  return math.max(0, math.min(h.ttl, h.renewed + h.ttl - at))
end
-- Where the server's clock went back (another one took over, and is behind), a lease that nobody renews would last until it has
-- caught up: from the first look of somebody who wants it, it lasts no longer than it is long.
local function remainingFrom(part, h, at)
  if h.lease == '1' and h.renewed > at then
    h.renewed = at
    redis.call('HSET', K, 'h:' .. part, packHead(h))
  end
  return remaining(h, at)
end
local function take(part, h, d, nonce, ttl, who)
  if h.lease == '1' or h.lease == '2' then
    redis.call('HSET', K, 'b:' .. part, int(h.token) .. ' ' .. h.lease .. ' ' .. (redis.call('HGET', K, 'w:' .. part) or ''))
  else
    redis.call('HDEL', K, 'b:' .. part)
  end
  h.token = nextToken(h, d)
  h.lease = '1' h.ttl = tonumber(ttl) h.renewed = now() h.took = nonce
  lift(part, d, h.token)
  redis.call('HSETNX', K, 'born', nonce)
  redis.call('HSET', K, 'top', int(h.token), 'w:' .. part, who, 'h:' .. part, packHead(h))
end
local function taken(part, h)
  return {int(h.token), redis.call('HGET', K, 'b:' .. part) or '', redis.call('HGET', K, 'born') or ''}
end
-- What else people may have put there is no part.
local function partOf(field, what) return string.match(field, '^' .. what .. ':(%l+)$') or string.match(field, '^' .. what .. ':(%l+%-%x+)$') end
local function heads(prefix)
  local names = {}
  for _, field in ipairs(redis.call('HKEYS', K)) do
    local part = partOf(field, 'h')
    if part and string.sub(part, 1, #prefix) == prefix then names[#names + 1] = part end
  end
  return names
end
-- Nothing stays of the part itself. Its token is over all the same: what has no head has that of its kind.
local function bury(part, h, at)
  local over = math.max(gone(part) or 0, h.token + 1)
  if hasStream(part) then drop(part) end
  redis.call('HDEL', K, 'h:' .. part, 'w:' .. part, 'b:' .. part)
  redis.call('HSET', K, 'g:' .. kind(part), int(over) .. ' ' .. int(at), 'top', int(math.max(top() or 0, over)))
end
local function withStreams()
  local parts = {}
  for _, field in ipairs(redis.call('HKEYS', K)) do
    parts[#parts + 1] = partOf(field, 'd')
  end
  return parts
end
-- The documents go, the tokens stay: whoever held an earlier one is still turned away.
local function removeAll(token, keep, at)
  need(withStreams())
  local found = {}
  for _, part in ipairs(heads('')) do found[part] = head(part) end
  for part, h in pairs(found) do
    h.present = '0' h.token = math.max(h.token, token)
    if kind(part) == 'worker' and part ~= keep then
      bury(part, h, at)
    else
      if hasStream(part) then drop(part) end
      if part ~= keep then
        h.lease = '3'
        redis.call('HDEL', K, 'w:' .. part, 'b:' .. part)
      end
      redis.call('HSET', K, 'h:' .. part, packHead(h))
    end
  end
  redis.call('HSET', K, 'removed', int(at), 'top', int(math.max(top() or 0, token)))
end
`;

/** With all that the scripts share. */
export function script(lua: string): Script {
  const whole = `${PRELUDE}\n${lua}`;
  return { lua: whole, sha: hash('sha1', whole) };
}
