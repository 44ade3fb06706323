"""What Redis runs: each script is one step, by the server's own time, on one key (so on one node of a cluster).

A record is a hash: `token`, `owner`, `until`, `completed`, `kept`, `fingerprint`, `result`; times are microseconds
since 1970, as texts, since Lua shows large numbers with fewer digits. The server's TTL removes a record once it was
kept for long enough.
"""

from __future__ import annotations

from typing import Final

# `redis.call('TIME')` in a script that writes needs effects replication, which is the only one from Redis 7 on; 5 and 6
# have it on request, and say nothing where it isn't known.
NOW: Final = """
if redis.replicate_commands then redis.replicate_commands() end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
"""

_SEEN: Final = """
local function text(number) return string.format('%.0f', number) end
local field = function(name) return redis.call('HGET', KEYS[1], name) end
local number = function(name) return tonumber(field(name) or nil) end
local kept = number('kept')
local there = kept ~= nil and now < kept
local token, till, completed = number('token') or 0, number('until'), number('completed')
local function remain(moment)
    redis.call('HSET', KEYS[1], 'kept', text(moment))
    redis.call('PEXPIRE', KEYS[1], text(math.ceil((moment - now) / 1000) + 1000))
end
"""

CLAIM: Final = """
local owner, lease, keep, fingerprint = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
if there and completed then return {'completed', text(completed), field('result'), field('fingerprint')} end
local own = there and till and field('owner') == owner
if there and till and now < till and not own then return {'progress', text(till - now), field('fingerprint')} end
if own then
    redis.call('HSET', KEYS[1], 'until', text(now + lease))
    remain(math.max(kept, now + lease))
    return {'claimed', text(token)}
end
token = math.max(token + 1, now)
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'token', text(token), 'owner', owner, 'until', text(now + lease))
if fingerprint ~= '' then redis.call('HSET', KEYS[1], 'fingerprint', fingerprint) end
remain(now + lease + keep)
return {'claimed', text(token)}
"""

_MINE: Final = """
local mine = there and field('token') == ARGV[1]
if not mine then return 0 end
"""

RENEW: Final = (
    _MINE
    + """
if completed or not till then return 0 end
local ends = now + tonumber(ARGV[2])
redis.call('HSET', KEYS[1], 'until', text(ends))
remain(math.max(kept, ends))
return 1
"""
)

COMPLETE: Final = (
    _MINE
    + """
if completed then return 1 end
if not till then return 0 end
redis.call('HDEL', KEYS[1], 'until')
redis.call('HSET', KEYS[1], 'completed', text(now))
if ARGV[3] == '1' then redis.call('HSET', KEYS[1], 'result', ARGV[4]) end
remain(now + tonumber(ARGV[2]))
return 1
"""
)

RELEASE: Final = (
    _MINE
    + """
if completed then return 0 end
redis.call('HDEL', KEYS[1], 'until', 'owner', 'fingerprint')
return 1
"""
)

FORGET: Final = """
if not there then return 0 end
if ARGV[1] == '0' and till and not completed and now < till then return -1 end
redis.call('DEL', KEYS[1])
return 1
"""

SHOW: Final = """
if not there then return false end
return {text(now), text(token), field('owner'), field('until'), field('completed'), text(kept), field('fingerprint'),
        field('result')}
"""


def whole(script: str, now: str = NOW) -> str:
    """A script with what all of them begin with."""
    return now + _SEEN + script


READ_NOTE: Final = """
local kept = tonumber(redis.call('HGET', KEYS[1], 'kept') or nil)
if not kept or now >= kept then return false end
local written = tonumber(redis.call('HGET', KEYS[1], 'written'))
return {redis.call('HGET', KEYS[1], 'version'), redis.call('HGET', KEYS[1], 'note'),
        string.format('%.0f', written), string.format('%.0f', now - written), string.format('%.0f', kept - now)}
"""

# A version is compared as the text that it is: as a number of Lua's it would lose digits.
WRITE_NOTE: Final = """
local after, version, keep, note = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local kept = tonumber(redis.call('HGET', KEYS[1], 'kept') or nil)
local there = (kept and now < kept) and redis.call('HGET', KEYS[1], 'version') or '0'
if there ~= after then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'version', version, 'note', note, 'written', string.format('%.0f', now),
           'kept', string.format('%.0f', now + keep))
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.ceil(keep / 1000) + 1000))
return 1
"""
