-- What core.shared_counters keeps, kept by a Valkey server. ARGV: words of core.counter_language, its verbs are below.
--
-- KEYS[1]  hash: epoch of this life of the server, lost: since when gateways of another one have been heard,
--          g:<holder>: the number of its newest connection
-- KEYS[2]  sorted set: holders by the instant their lease ends
-- KEYS[3…] a hash for each limit: u used and t at, which are the counter's state; s when it was short last; bu and bt,
--          the state that was restored last; p the place in the log where the books weighed it last; w when a bucket
--          held less than at any later time; l:<holder> units that may lie idle there; h:<holder> what it has of a budget
--
-- Counts are whole numbers beyond what a double holds exactly, so each is two: {millions of millions, the rest}.

local LEASE, SCARCE, REMEMBER, SHARES, LOWS = 3000000, 2000000, 2000000, 4, 64
local SET_BACK = 5000000
local MINUTE = 60000000
local FORGET_MS = 172800000
local BASE, MILLION = 1000000000000, 1000000
local NOTHING = {0, 0}

local function number(digits)
  if not digits then return NOTHING end
  local size = #digits
  if size <= 12 then return {0, tonumber(digits)} end
  return {tonumber(string.sub(digits, 1, size - 12)), tonumber(string.sub(digits, size - 11))}
end

local function text(a)
  if a[1] == 0 then return string.format('%.0f', a[2]) end
  return string.format('%.0f%012.0f', a[1], a[2])
end

local function less(a, b) return a[1] < b[1] or (a[1] == b[1] and a[2] < b[2]) end

local function add(a, b)
  local high, low = a[1] + b[1], a[2] + b[2]
  if low >= BASE then return {high + 1, low - BASE} end
  return {high, low}
end

local function minus(a, b) -- Nothing where b is more.
  if less(a, b) then return NOTHING end
  if a[2] < b[2] then return {a[1] - b[1] - 1, a[2] + BASE - b[2]} end
  return {a[1] - b[1], a[2] - b[2]}
end

local function times(x, y) -- Of two numbers below BASE.
  local x1, x0, y1, y0 = math.floor(x / MILLION), x % MILLION, math.floor(y / MILLION), y % MILLION
  local middle = x1 * y0 + x0 * y1
  local low = (middle % MILLION) * MILLION + x0 * y0
  return {x1 * y1 + math.floor(middle / MILLION) + math.floor(low / BASE), low % BASE}
end

local function over(a, divisor) -- Rounded down; of a divisor below 9,000.
  local rest = a[1] % divisor
  local low = rest * BASE + a[2]
  return {(a[1] - rest) / divisor, (low - low % divisor) / divisor}
end

local clock = redis.call('TIME')
local now = clock[1] * MILLION + clock[2]
local verb, me, generation, epoch = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]

-- ---- one counter: core.capacity.Counter

local function grains(c, units)
  if c.refill ~= 'bucket' then return units end
  return add(times(units[2], MINUTE), {units[1] * MINUTE, 0})
end

local function note_low(c)
  local lows = c.lows
  while lows[1] and not less(lows[#lows][2], c.u) do table.remove(lows) end
  lows[#lows + 1] = {c.t, c.u}
  if #lows > LOWS then
    lows[2][2] = lows[1][2]
    table.remove(lows, 1)
  end
end

local function advance(c, at)
  if at <= c.t then return end
  if c.refill == 'bucket' then
    c.u = minus(c.u, times(c.drain, math.min(at - c.t, BASE - 1)))
    c.t = at
    note_low(c)
  elseif c.refill == 'window' and at - at % c.window ~= c.t - c.t % c.window then
    c.u = NOTHING
  end
  c.t = at
end

local function set_right(c, u, t) -- The clock was ahead. u and t: where the state is kept.
  if c.t <= now + SET_BACK then return end
  if c.refill == 'window' and c.t - c.t % c.window ~= now - now % c.window then c.u = NOTHING end
  c.t, c.lows = now, {}
  redis.call('HSET', c.key, u, text(c.u), t, string.format('%.0f', now))
  if u == 'u' then redis.call('HDEL', c.key, 'w') end
end

local function free(c, units, taken_at)
  if c.refill == 'bucket' then
    local given, lowest = grains(c, units), c.u
    for at = #c.lows, 1, -1 do
      if c.lows[at][1] <= taken_at then break end
      lowest = c.lows[at][2]
    end
    if less(lowest, given) then given = lowest end
    c.u = minus(c.u, given)
    note_low(c)
  elseif c.refill == 'budget' or taken_at - taken_at % c.window == c.t - c.t % c.window then
    c.u = minus(c.u, units)
  end
end

local function is_scarce(c)
  if not c.s or now - c.s >= SCARCE or c.s - now > SET_BACK then return false end
  return c.refill ~= 'window' or c.s - c.s % c.window == now - now % c.window
end

local function load(index, width)
  local first = 5 + (index - 1) * width
  local key = KEYS[index + 2]
  local kept = redis.call('HMGET', key, 'u', 't', 's', 'h:' .. me, 'l:' .. me, 'w')
  local c = {key = key, refill = ARGV[first + 1], window = tonumber(ARGV[first + 3]), drain = tonumber(ARGV[first + 4])}
  c.first = first + 5
  c.u, c.t, c.s = number(kept[1]), tonumber(kept[2] or 0), kept[3] and tonumber(kept[3])
  c.held, c.lent = number(kept[4]), number(kept[5])
  c.lows = kept[6] and cmsgpack.unpack(kept[6]) or {}
  c.full = grains(c, number(ARGV[first + 2]))
  set_right(c, 'u', 't')
  return c
end

local function save(c, ...)
  redis.call('HSET', c.key, 'u', text(c.u), 't', string.format('%.0f', c.t), ...)
  if c.refill == 'window' then
    redis.call('PEXPIRE', c.key, string.format('%.0f', 2 * c.window / 1000 + 60000))
  elseif c.refill == 'bucket' and c.drain > 0 then
    redis.call('HSET', c.key, 'w', cmsgpack.pack(c.lows))
    local empty_ms = (c.u[1] * BASE + c.u[2]) / c.drain / 1000
    redis.call('PEXPIRE', c.key, string.format('%.0f', math.min(empty_ms, BASE) + 60000))
  elseif c.refill == 'budget' then
    redis.call('PEXPIRE', c.key, FORGET_MS)
  end
end

local function limits(width) return (#ARGV - 4) / width end

local function state(answer, c)
  answer[#answer + 1] = text(c.u)
  answer[#answer + 1] = string.format('%.0f', c.t)
end

-- ---- what gateways ask

local head = redis.call('HMGET', KEYS[1], 'epoch', 'lost', 'g:' .. me)
if head[3] and tonumber(head[3]) > generation then return {'stale'} end
if not head[1] then
  head[1] = string.format('%.0f', now)
  redis.call('HSET', KEYS[1], 'epoch', head[1])
end
if verb ~= 'join' and head[1] ~= epoch then return {'lost'} end
redis.call('ZADD', KEYS[2], string.format('%.0f', now + LEASE), me)
local leases_end = now + LEASE + SET_BACK -- Those that end later are of a clock that was ahead.
if head[2] and tonumber(head[2]) > now + SET_BACK then
  head[2] = string.format('%.0f', now)
  redis.call('HSET', KEYS[1], 'lost', head[2])
end

local function closed()
  return head[2] and math.max(0, head[2] + REMEMBER - now) or 0
end

local function restore(c, used, told)
  told = math.min(told, now)
  local base = redis.call('HMGET', c.key, 'bu', 'bt')
  local known = {refill = c.refill, window = c.window, drain = c.drain, u = number(base[1]), t = tonumber(base[2] or 0),
    lows = {}, key = c.key}
  set_right(known, 'bu', 'bt')
  if told < known.t then return end
  if told == known.t and less(used, known.u) then used = known.u end -- Which came later, nobody knows.
  advance(known, told)
  advance(c, told)
  if c.refill ~= 'window' or told - told % c.window == now - now % c.window then
    c.u = minus(add(c.u, used), known.u)
    c.lows = {}
  end
  redis.call('HSET', c.key, 'bu', text(used), 'bt', string.format('%.0f', told))
end

local function join()
  redis.call('HSET', KEYS[1], 'g:' .. me, ARGV[3])
  for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now - 3600 * MILLION))) do
    redis.call('ZREM', KEYS[2], gone)
    redis.call('HDEL', KEYS[1], 'g:' .. gone)
  end
  if epoch ~= '-' and epoch ~= head[1] and not head[2] then
    head[2] = string.format('%.0f', now)
    redis.call('HSET', KEYS[1], 'lost', head[2])
  end
  for index = 1, limits(8) do
    local c = load(index, 8)
    local held = number(ARGV[c.first + 2])
    if epoch ~= head[1] and redis.call('HEXISTS', c.key, 'p') == 0 then
      restore(c, number(ARGV[c.first]), tonumber(ARGV[c.first + 1]))
    elseif c.refill == 'budget' then
      advance(c, now)
      c.u = minus(add(c.u, minus(held, c.held)), minus(c.held, held))
    end
    if c.refill == 'budget' then save(c, 'h:' .. me, text(held)) else save(c) end
  end
  return {'ok', head[1], string.format('%.0f', closed())}
end

local function weigh()
  local answer = {'ok'}
  for index = 1, limits(8) do
    local c = load(index, 8)
    local sum, place, living = number(ARGV[c.first]), number(ARGV[c.first + 1]), ARGV[c.first + 2]
    local known = redis.call('HGET', c.key, 'p')
    advance(c, now)
    if not known or less(number(known), place) then
      local all, held, counted = redis.call('HGETALL', c.key), {}, NOTHING
      for at = 1, #all, 2 do
        if string.sub(all[at], 1, 2) == 'h:' then held[string.sub(all[at], 3)] = all[at + 1] end
      end
      for name, done, open in string.gmatch(living, '([^:,]+):(%d+):(%d+)') do
        local had = add(number(done), number(open))
        if held[name] then
          had = number(held[name])
          held[name] = nil
        elseif less(NOTHING, had) then
          redis.call('HSET', c.key, 'h:' .. name, text(had))
        end
        sum, counted = add(sum, had), add(counted, number(done))
      end
      for gone in pairs(held) do redis.call('HDEL', c.key, 'h:' .. gone) end
      c.u = minus(sum, counted)
      save(c, 'p', text(place))
    else
      save(c)
    end
    state(answer, c)
  end
  return answer
end

local function short(number_, c)
  redis.call('HSET', c.key, 's', string.format('%.0f', now))
  local idle, all = NOTHING, redis.call('HGETALL', c.key)
  for at = 1, #all, 2 do
    local other = string.sub(all[at], 1, 2) == 'l:' and string.sub(all[at], 3)
    local lease = other and other ~= me and redis.call('ZSCORE', KEYS[2], other)
    if lease and tonumber(lease) > now and tonumber(lease) <= leases_end then idle = add(idle, number(all[at + 1])) end
  end
  local answer = {'short', string.format('%.0f', number_ - 1)}
  state(answer, c)
  answer[#answer + 1] = text(idle)
  return answer
end

local function take(c, holders)
  local need, wish = number(ARGV[c.first]), number(ARGV[c.first + 1])
  c.u = add(c.u, grains(c, need))
  local scarce, ahead = is_scarce(c), NOTHING
  if not scarce and less(NOTHING, wish) then
    local left = minus(c.full, c.u)
    if c.refill == 'bucket' then left = over(over(over(left, 60), 1000), 1000) end
    ahead = over(left, SHARES * holders)
    if less(wish, ahead) then ahead = wish end
    c.u = add(c.u, grains(c, ahead))
  end
  local had, fields = add(need, ahead), {}
  if not scarce then fields = {'l:' .. me, text(add(c.lent, had))} end
  if c.refill == 'budget' then
    fields[#fields + 1] = 'h:' .. me
    fields[#fields + 1] = text(add(c.held, had))
  end
  save(c, unpack(fields))
  return ahead, scarce
end

local function draw()
  if closed() > 0 then return {'closed', string.format('%.0f', closed())} end
  local counters = {}
  for index = 1, limits(7) do
    local c = load(index, 7)
    advance(c, now)
    local wanted = c.refill == 'bucket' and c.u or add(c.u, number(ARGV[c.first]))
    counters[index] = c
    if less(c.full, wanted) then
      for _, seen in ipairs(counters) do save(seen) end
      return short(index, c)
    end
  end
  local until_ = string.format('%.0f', leases_end)
  local holders = redis.call('ZCOUNT', KEYS[2], '(' .. string.format('%.0f', now), until_)
  local answer = {'ok'}
  for index, c in ipairs(counters) do
    local ahead, scarce = take(c, holders)
    answer[#answer + 1] = text(ahead)
    state(answer, c)
    answer[#answer + 1] = scarce and '1' or '0'
  end
  return answer
end

local function give()
  local answer = {'ok'}
  for index = 1, limits(8) do
    local c = load(index, 8)
    local units, more, taken_at = number(ARGV[c.first]), number(ARGV[c.first + 1]), tonumber(ARGV[c.first + 2])
    advance(c, now)
    free(c, units, taken_at)
    c.u = add(c.u, grains(c, more))
    if c.refill == 'budget' then save(c, 'h:' .. me, text(minus(add(c.held, more), units))) else save(c) end
    state(answer, c)
  end
  return answer
end

local function look()
  local answer = {'ok'}
  for index = 1, limits(6) do
    local c = load(index, 6)
    if ARGV[c.first] == '1' then redis.call('HDEL', c.key, 'l:' .. me) end
    answer[#answer + 1] = is_scarce(c) and '1' or '0'
  end
  return answer
end

return ({join = join, draw = draw, give = give, look = look, weigh = weigh})[verb]()
