// The page of a Talk server: rooms and direct messages over the rich mode of /ws. What others wrote is only ever put
// in as text, never as markup.

// ---- words

const WORDS = {
  en: {},
  ru: {
    skip: "К полю сообщения", now: "Сейчас", nickname: "Имя", nicknameHelp: "Латинские буквы, цифры, _ и -; сначала буква или _.",
    account: "У меня есть учётная запись, или я хочу её завести", secret: "Секрет",
    secretHelp: "От 8 до 128 символов. Если такой учётной записи нет, спросим, завести ли её.", enter: "Войти",
    conversations: "Беседы", close: "Закрыть", rooms: "Комнаты", others: "Другие комнаты", roomName: "Комната", roomHint: "Имя комнаты",
    go: "Ок", directs: "Личные сообщения", toWhom: "Кому", directHint: "Имя человека", theme: "Тема", system: "Как в системе", light: "Светлая", dark: "Тёмная",
    makeTitle: "Завести учётную запись?", makeWords: "Учётной записи {0} нет. Завести её, с этим секретом?", notMake: "Исправить имя", make: "Завести",
    askTitle: "Выйти?", askWords: "Личные сообщения хранятся только в этом браузере и будут удалены.", stay: "Остаться",
    notify: "Уведомлять", signOut: "Выйти", search: "Поиск", people: "Люди", leave: "Покинуть", more: "Более ранние сообщения",
    newest: "↓ К новым", message: "Сообщение", messageHint: "Сообщение", sayHelp: "Enter отправляет, Shift и Enter начинает строку.",
    send: "Отправить", searchHint: "Слова", searchHelp: "утр* — начала слов, \"в девять утра\" — слова подряд.", searchMore: "Искать дальше в прошлом",
    connecting: "Соединение…", lost: "Связи нет. Что вы пишете, ждёт и уйдёт потом. Новая попытка через {0} с.",
    back: "Связь есть снова, ничего не пропущено.", backGap: "Связь есть снова; часть сообщений не сохранилась.",
    expired: "Вы вышли: войдите снова. Что не ушло, ждёт.", queued: "ждёт связи", sending: "отправляется", accepted: "принято",
    sent: "отправлено", delivered: "доставлено", deliveredTo: "доставлено {0} из {1}", unconfirmed: "передано, подтверждения не бывает",
    failed: "не ушло: {0}", retry: "Повторить", drop: "Убрать", unknown: "связь прервалась; неизвестно, дошло ли",
    joined: "{0} входит", left: "{0} уходит", renamed: "{0} теперь {1}", typing: "{0} пишет…", typingMany: "пишут: {0}…",
    count: "людей: {0}", today: "Сегодня", yesterday: "Вчера", unread: "Непрочитанное", gap: "Здесь не хватает сообщений: они не сохранились.",
    nothing: "Ничего не найдено.", foundSome: "Найдено: {0}.", foundMore: "Последние {0}; раньше, может быть, есть ещё.", notKept: "Этого сообщения больше нет.", past: "Это было раньше.", searching: "Поиск…", noServer: "Сервер не отвечает.", you: "вы",
    unreadCount: "непрочитанных: {0}", slash: "Команды {0} здесь нет. Нажмите Enter ещё раз, и это увидят все, кто здесь.", direct: "личная беседа",
    longText: "Сообщение длиннее 16 КиБ.", notifyDenied: "Браузер не даёт уведомлять.", start: "Здесь начинается беседа.",
    tagline: "Выберите имя и входите.", online: "в сети",
    badName: "Имя: от 2 до 64 латинских букв, цифр, _ и -; сначала буква или _.", shortSecret: "В секрете не меньше 8 символов.",
  },
};
const ENGLISH = {
  connecting: "Connecting…", lost: "No connection. What you write waits and goes out later. Next try in {0} s.",
  back: "Connected again, nothing was missed.", backGap: "Connected again; some messages are not kept any more.",
  expired: "You are signed out: sign in again. What did not go out waits.", queued: "waits for the connection", sending: "sending",
  accepted: "accepted", sent: "sent", delivered: "delivered", deliveredTo: "delivered to {0} of {1}",
  unconfirmed: "handed over, which nobody confirms", failed: "not sent: {0}", retry: "Retry", drop: "Remove",
  unknown: "the connection broke, and nobody can say whether it arrived", joined: "{0} joined", left: "{0} left",
  renamed: "{0} is now {1}", typing: "{0} is writing…", typingMany: "{0} are writing…", count: "{0} here", today: "Today",
  yesterday: "Yesterday", unread: "New", gap: "Messages are missing here: they are not kept any more.", nothing: "Nothing was found.",
  foundSome: "{0} found.", foundMore: "The newest {0}; there may be more further back.", notKept: "That message is not kept any more.", past: "This was said earlier.", searching: "Searching…", noServer: "The server does not answer.", you: "you",
  unreadCount: "{0} unread", slash: "There is no command {0} here. Press Enter once more to say this as it stands.", direct: "direct messages", close: "Close", leave: "Leave",
  longText: "A message has at most 16 KiB.", notifyDenied: "The browser does not let this page notify.",
  online: "online",
  badName: "A name has 2 to 64 Latin letters, digits, _ and -, and begins with a letter or _.",
  shortSecret: "A secret has at least 8 characters.", makeWords: "There is no account called {0}. Make one, with this secret?",
};
/** What a server says, the same in Russian, and in English where it is a code. */
const SERVER = [
  ["a nickname is a Latin letter or {0}, then {1}", "Это имя не годится: от 2 до 64 латинских букв, цифр, _ и -, а system, server, talk и healthCheck заняты."],
  ["nickname {0} already taken", "Имя {0} уже занято."], ["'{0}' is not a valid nickname", "{0} не может быть именем."],
  ["room {0} does not exist", "Комнаты {0} нет."], ["room {0} already exists", "Комната {0} уже есть."],
  ["'{0}' is not a valid room name", "{0} не может быть названием комнаты."], ["you are not in room {0}", "Вы не в комнате {0}."],
  ["user {0} is not here", "{0} не в сети."], ["you have {0} rooms already", "У вас уже столько комнат, сколько можно: {0}."],
  ["the server is full", "Сервер переполнен."], ["this id was used for another message", "Этот номер был у другого сообщения."],
  ["you send too fast", "Вы пишете слишком быстро."], ["forbidden", "Это не разрешено."],
  ["you are banned from room {0}", "Вам нельзя в комнату {0}."], ["you are muted in room {0}", "Вам нельзя писать в комнате {0}."],
  ["you were banned from room {0}", "Вам больше нельзя в комнату {0}."], ["you were kicked from room {0}", "Вас вывели из комнаты {0}."],
  ["you are no longer muted in room {0}", "Вам снова можно писать в комнате {0}."],
  ["you are no longer banned from room {0}", "Вам снова можно в комнату {0}."], ["room {0} is closed", "Комната {0} закрыта."],
  ["room {0} was closed", "Комнату {0} закрыли."],
  ["user {0} does not take messages from you", "{0} не принимает ваши сообщения."],
  ["user {0} takes no direct messages", "{0} не принимает личные сообщения."],
  ["you ask for more than can be answered at once", "Слишком много запросов сразу."],
  ["messages cannot be stored at the moment", "Сейчас сообщения нельзя сохранить."], ["gone", "собеседника нет в сети", "they are gone"],
  ["no_direct", "этот собеседник не принимает личные сообщения", "they take no direct messages"], ["timed out", "собеседник не отвечает"],
  ["unreachable", "собеседник недоступен"], ["too_long", "слишком длинно для собеседника", "it is too long for them"], ["cannot parse '{0}' arg of {1} command", "Сервер этого не принимает."],
  ["this user has too many sessions", "Слишком много входов под этим именем."],
  ["no session can be opened at the moment", "Сейчас войти нельзя, попробуйте позже."],
  ["this name belongs to somebody with another secret", "Это имя занято, и секрет у него другой."],
  ["too many sign-ins from this address", "Слишком много входов с этого адреса, попробуйте позже."],
  ["too many wrong secrets from this address", "Слишком много неверных секретов с этого адреса, попробуйте позже."],
  ["too many wrong secrets for this nickname", "Слишком много неверных секретов для этого имени, попробуйте позже."],
];
const language = (navigator.languages ?? []).map((tag) => tag.slice(0, 2)).find((tag) => tag in WORDS) ?? "en";

/** A text in the reader's language, with what stands for {0}, {1}. */
function say(key, ...values) {
  const words = WORDS[language][key] ?? ENGLISH[key] ?? key;
  return words.replace(/\{(\d)\}/g, (_, n) => values[n]);
}

/** What servers say, in words of the reader's language where the page knows them; a moderator's own words as they are. */
function known(words) {
  if (language !== "ru") return SERVER.find(([theirs]) => theirs === words)?.[2] ?? words;
  const notice = words.match(/^(you \w+ .*? room [\w.-]+|room [\w.-]+ was closed)(?: for (\d+) s)?(?:: (.*))?$/s);
  if (notice?.[2] || notice?.[3]) {
    const [, what, seconds, why] = notice;
    return `${known(what).replace(/\.$/, "")}${seconds ? ` (${seconds} с)` : ""}${why ? `: ${why}` : "."}`;
  }
  for (const [theirs, ours] of SERVER) {
    const form = theirs.replace(/[^\w {}]/g, "\\$&").replace("{0}", "(.+)").replace("{1}", "(.+)");
    const match = words.match(new RegExp(`^${form}$`, "s"));
    if (match) return ours.replace("{0}", () => match[1]);
  }
  return words;
}

function translate() {
  document.documentElement.lang = language;
  const put = (data, set) => {
    for (const element of document.querySelectorAll(`[data-${data}]`)) {
      const words = WORDS[language][element.dataset[data]];
      if (words) set(element, words);
    }
  };
  put("t", (element, words) => { element.textContent = words; });
  put("p", (element, words) => { element.placeholder = words; });
  put("l", (element, words) => element.setAttribute("aria-label", words));
  // Where there is only a sign, a pointer is told what it means.
  for (const word of document.querySelectorAll(".sign + .word")) word.parentElement.title = word.textContent;
}

// ---- what is kept

const $ = (id) => document.getElementById(id);
/** An id of one's own. Pages without TLS have no `crypto.randomUUID`. */
const unique = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
/** Where tabs hear of each other: each says its name when it has one, and when somebody asks. */
const channel = new BroadcastChannel("talk");
const TAB = await tabName();
const sayName = () => channel.postMessage(`talk.${TAB}`);
channel.addEventListener("message", ({ data }) => {
  if (data === "?") sayName();
});
sayName();

/** What this tab is called, also after a reload. One that was made as the copy of another has that one's name first. */
async function tabName() {
  const forever = () => new Promise(() => {});
  try {
    const name = (sessionStorage.tab ??= unique());
    // Without TLS nobody can tell.
    if (!navigator.locks || await isFree(name, forever)) return name;
    sessionStorage.tab = unique();
    await isFree(sessionStorage.tab, forever);
    return sessionStorage.tab;
  } catch {
    return unique();
  }
}

/**
 * Whether no other tab has a name; until what `act` promises, this one has it. A page that is just going, before a reload
 * or with its tab, has its name for a while, and longer where there is much to do; but it does not answer any more.
 */
function isFree(name, act) {
  return new Promise((resolve) => {
    let limit;
    const other = new AbortController();
    const hear = ({ data }) => { if (data === `talk.${name}`) other.abort(); };
    const done = (free) => {
      clearTimeout(limit);
      channel.removeEventListener("message", hear);
      resolve(free);
      return free && act();
    };
    channel.addEventListener("message", hear);
    channel.postMessage("?");
    if (navigator.locks) {
      limit = setTimeout(() => other.abort(), 10_000);
      navigator.locks.request(`talk.${name}`, { signal: other.signal }, () => done(true)).catch(() => done(false));
    } else {
      // Without TLS there are no locks: who says nothing is not there.
      limit = setTimeout(() => done(!other.signal.aborted), 1000);
    }
  });
}

/** Everything that is kept in this browser, by its key. */
function keys() {
  try {
    return Object.keys(localStorage).filter((key) => key.startsWith("talk.")).map((key) => key.slice(5));
  } catch {
    return [];
  }
}

function read(key, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(`talk.${key}`)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

function keep(key, value) {
  const set = () => {
    try {
      if (value === undefined) localStorage.removeItem(`talk.${key}`);
      else localStorage.setItem(`talk.${key}`, JSON.stringify(value));
      return true;
    } catch {
      return false;
    }
  };
  // Without a place to keep it, it lasts as long as the page. What others wrote does not take the place of what is typed here.
  if (set() || key.startsWith("direct.")) return;
  for (const other of keys().filter((other) => other.startsWith("direct."))) {
    keep(other);
    if (set()) return;
  }
}

/** What is kept as a text; what is kept as a list, as far as it is of such. A browser gives back whatever was put there. */
const readText = (key, otherwise) => ((kept) => (typeof kept === "string" ? kept : otherwise))(read(key));
const readList = (key, fits) => ((kept) => (Array.isArray(kept) ? kept.filter(fits) : []))(read(key));
const isText = (it) => typeof it?.id === "string" && typeof it.to === "string" && typeof it.body === "string";
const isPlace = (name) => typeof name === "string" && (name.startsWith("@") || ROOM.test(name));
const isDirect = (it) => typeof it?.from === "string" && typeof it.body === "string" && typeof it.ts === "number";

const theme = () => ["light", "dark"].find((one) => one === read("theme"));
const notifies = () => read("notify") === true;

let me = readText("nickname", "");
let token = keptToken();
/** Conversations by name: rooms, and `@nickname` for direct messages. */
const places = new Map();
let current;
/** The rooms of the server that somebody is in, the fullest first: {name, sessions}. */
let listed = [];
/** Texts that are not accepted yet, in order: {id, to, body, since, failed}; of somebody who signed out, with `by`. */
let waiting = readList(`waiting.${TAB}`, isText).map(landed);

/** The token that this browser keeps: also of another tab that signed in meanwhile. */
function keptToken() {
  const kept = readText("token", "");
  return /^[\w-]+$/.test(kept) ? kept : undefined;
}

/** What was on its way when the page went has to go again: under its id it is said once. */
function landed(text) {
  return { ...text, flying: false, accepted: false };
}

function keepWaiting() {
  keep(`waiting.${TAB}`, waiting.length ? waiting : undefined);
}

/** Takes over what tabs left that are gone, as soon as it is known that they are. */
function adopt() {
  const tabs = new Set(keys().map((key) => key.match(/^(?:waiting|draft)\.([^.]*)/)?.[1]));
  for (const tab of tabs) if (tab && tab !== TAB) isFree(tab, () => takeOver(tab));
}

function takeOver(tab) {
  let drafted = false;
  for (const key of keys()) {
    if (key === `waiting.${tab}`) {
      const left = readList(key, isText).map(landed);
      waiting = left.filter((text) => !waiting.some((mine) => mine.id === text.id)).concat(waiting);
    } else if (key.startsWith(`draft.${tab}.`)) {
      const own = `draft.${TAB}.${key.slice(`draft.${tab}.`.length)}`;
      if (read(own) !== undefined) continue;
      keep(own, read(key));
      drafted ||= own === `draft.${TAB}.${current?.name}`;
    } else {
      continue;
    }
    keep(key);
  }
  keepWaiting();
  if (!current) return;
  if (drafted && !$("text").value) showDraft();
  showWaiting();
  pump();
}

function place(name) {
  let it = places.get(name);
  if (!it) {
    const direct = name.startsWith("@");
    it = {
      name, direct, messages: direct ? readList(directKey(name), isDirect) : [], users: new Set(), unread: 0, more: false, inside: false, typing: new Map(),
    };
    places.set(name, it);
    keepPlaces();
  }
  return it;
}

/** Keeps where this user is, with what other tabs keep of it. */
function keepPlaces(gone) {
  keep("places", [...new Set([...readList("places", isPlace), ...places.keys()])].filter((name) => name !== gone));
}

// ---- the connection

let socket;
let online = false;
let tries = 0;
let retryTimer;
let quiet;
let connected = false;
/** This user's own direct messages: where they stand. */
let own = ((kept) => (typeof kept?.room === "string" && typeof kept.epoch === "string" && Number.isSafeInteger(kept.seq) ? kept : undefined))(read("own"));
const received = new Map();
let receivedTimer;

/** Gets a token: for a guest, or for an account, which is made where `account` does not say that it is `known`. */
async function signIn(nickname, secret, account) {
  const response = await fetch("auth", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(secret ? { nickname, secret, account } : { nickname }),
    signal: AbortSignal.timeout(30_000),
  });
  const answer = await response.json().catch(() => ({}));
  if (response.status !== 201) throw Object.assign(new Error(answer.detail ?? response.statusText), { status: response.status });
  return answer.token;
}

function connect() {
  clearTimeout(retryTimer);
  clearTimeout(quiet);
  let opened = false;
  const url = new URL("ws", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const old = socket;
  const it = (socket = new WebSocket(url, ["talk.v2", token]));
  // Whoever is impatient has one connection, too.
  old?.close();
  if (online) over();
  if (!connected) banner(say("connecting"));
  quiet = setTimeout(() => {
    banner(say("connecting"), true);
    quiet = setTimeout(giveUp, 15_000);
  }, 1000);
  it.onopen = () => {
    opened = true;
    if (it === socket) begin();
  };
  it.onmessage = ({ data }) => {
    if (it !== socket) return;
    alive();
    hear(JSON.parse(data));
  };
  it.onclose = ({ code, reason }) => {
    if (it !== socket) return;
    const was = online;
    over();
    if (code === 1008 && reason.includes("revoked")) return signedOut();
    if (!opened && !was) return refused(it);
    later();
  };
}

/** The handshake failed: either nobody is there, or the token is good no more. */
async function refused(it) {
  const signal = AbortSignal.timeout(15_000);
  const there = await fetch("./", { method: "HEAD", cache: "no-store", signal }).then((response) => response.ok, () => false);
  if (it !== socket) return;
  if (!there || !token) return later();
  tokenTries += 1;
  if (tokenTries < 2) return later();
  tokenTries = 0;
  try {
    const again = await signInAgain();
    if (it !== socket) return;
    token = again;
    received.clear();
    anew = own !== undefined;
    own = undefined;
    keep("own");
    connect();
  } catch (error) {
    if (it !== socket) return;
    if (error.status === 403) signedOut();
    else later();
  }
}

/** A guest whose token ran out comes back under the same name, if it is free: one of their tabs, and the others with it. */
async function signInAgain() {
  const old = token;
  const others = () => {
    const kept = keptToken();
    return kept !== old && readText("nickname") === me ? kept : undefined;
  };
  const ask = async () => {
    const known = others();
    if (known || token !== old) return known;
    try {
      const fresh = await signIn(me);
      if (token === old) {
        keep("token", fresh);
      } else {
        left.add(fresh);
        await giveBack();
      }
      return fresh;
    } catch (error) {
      const known = others();
      if (known) return known;
      throw error;
    }
  };
  return alone(ask);
}
let tokenTries = 0;
let turns = Promise.resolve();

/** One at a time signs in or out; where locks are missing or refused, of those on this page. */
async function alone(act, signal) {
  let begun = false;
  try {
    if (navigator.locks) return await navigator.locks.request("talk.signing", { signal }, () => {
      begun = true;
      return act();
    });
  } catch (error) {
    if (begun) throw error;
  }
  return (turns = turns.then(act, act));
}

/** Of whom the server does not know yet that they signed out. */
const left = new Set();

async function giveBack() {
  for (const old of left) {
    const how = { method: "DELETE", headers: { Authorization: `Bearer ${old}` }, keepalive: true, signal: AbortSignal.timeout(5000) };
    await fetch("auth", how).then(() => left.delete(old), () => {});
  }
}

function over() {
  online = false;
  unsent.length = 0;
  clearTimeout(quiet);
  clearTimeout(receivedTimer);
  clearTimeout(comingTimer);
  receivedTimer = undefined;
  for (const it of places.values()) Object.assign(it, { inside: false, loading: undefined, fresh: false });
  pump.busy = false;
  for (const text of waiting) text.flying = false;
  showWaiting();
  unanswered(say("noServer"));
}

function later() {
  tries += 1;
  const pause = Math.min(30, 0.25 * 2 ** Math.min(tries, 7)) * (0.5 + Math.random());
  const due = performance.now() + pause * 1000;
  const tick = () => {
    const left = Math.ceil((due - performance.now()) / 1000);
    if (left <= 0) return connect();
    banner(say("lost", left), true);
    retryTimer = setTimeout(tick, Math.min(1000, due - performance.now()));
  };
  clearTimeout(retryTimer);
  tick();
}

function alive() {
  clearTimeout(quiet);
  quiet = setTimeout(probe, 30_000);
}

/** A connection that is dead without a word is found by a question that is not answered. */
function probe() {
  clearTimeout(quiet);
  send("listrooms");
  quiet = setTimeout(giveUp, 10_000);
}

function giveUp() {
  const dead = socket;
  socket = undefined;
  dead?.close();
  over();
  later();
}

function send(type, args) {
  if (socket?.readyState !== WebSocket.OPEN) return;
  unsent.push(JSON.stringify({ type, args }));
  flush();
}

/** Commands that wait for their turn: a server ends sessions that send too fast. */
const unsent = [];
let budget;
let budgetAt = performance.now();
let flushTimer;

function flush() {
  const now = performance.now();
  budget = Math.min(BURST, (budget ?? BURST) + (now - budgetAt) * PACE);
  budgetAt = now;
  while (unsent.length > 0 && budget >= 1 && socket?.readyState === WebSocket.OPEN) {
    budget -= 1;
    socket.send(unsent.shift());
  }
  if (unsent.length === 0) return;
  flushTimer ??= setTimeout(() => {
    flushTimer = undefined;
    flush();
  }, 1 / PACE);
}

/** Which rooms there are is asked for now and then, and when somebody looks. */
function askRooms() {
  clearTimeout(askRooms.timer);
  askRooms.timer = setTimeout(askRooms, 20_000);
  askRooms.at = Date.now();
  if (online && document.visibilityState === "visible") send("listrooms");
}

function begin() {
  online = true;
  introduced = false;
  tokenTries = 0;
  gaps = anew;
  anew = false;
  alive();
  const rooms = [...places.values()].filter((it) => !it.direct);
  coming = new Set(rooms.map((it) => it.name));
  entering.clear();
  if (own) {
    coming.add(own.room);
    send("resume", { room: own.room, epoch: own.epoch, seq: own.seq });
  }
  for (const it of rooms) enter(it);
  askRooms();
  banner(tries > 0 ? say("connecting") : undefined);
  comingTimer = setTimeout(() => {
    // Of a room that does not answer nothing is claimed.
    coming.clear();
    banner();
    tries = 0;
  }, 15_000);
  connected = true;
  showWaiting();
}

/** What was missed in a room has come, or never will. When it has everywhere, that is said. */
function done(room) {
  if (!coming.delete(room) || coming.size > 0) return;
  clearTimeout(comingTimer);
  if (tries === 0) return;
  banner(say(gaps ? "backGap" : "back"), false, 4000);
  tries = 0;
}
/** Where what was missed has not come yet. */
let coming = new Set();
let comingTimer;
/** Where direct messages stood is not known any more. */
let anew = false;
/** This connection has told what this user is called. */
let introduced = false;
/** Whether something that was missed will not come. */
let gaps = false;

/** Where this session asked to be let in, in that order, and is not yet. */
const entering = new Set();

function awaits(room) {
  entering.delete(room);
  entering.add(room);
}

function enter(it) {
  awaits(it.name);
  if (it.last !== undefined) {
    send("resume", { room: it.name, epoch: it.epoch, seq: it.last });
  } else {
    send("enter", { room: it.name });
  }
}

function tookUpTo(room, seq) {
  received.set(room, Math.max(seq, received.get(room) ?? 0));
  // In many rooms at once less often: each says all that is behind it.
  receivedTimer ??= setTimeout(() => {
    receivedTimer = undefined;
    if (!online) return;
    for (const [room, seq] of received) send("received", { room, seq });
    received.clear();
  }, Math.max(250, places.size * 125));
}

// ---- what is heard

const HEARD = {
  message(frame) {
    const it = placeOf(frame);
    // On its way when this user left the room, and asked for it again.
    if (!it || !it.direct && !it.inside && it.last === undefined) return;
    tookUpTo(frame.room, frame.seq);
    if (frame.room.startsWith("@")) {
      if (own?.room === frame.room && own.epoch === frame.epoch && frame.seq <= own.seq) return;
      own = { room: frame.room, epoch: frame.epoch, seq: frame.seq };
      keep("own", own);
      const before = heardBefore(it, frame);
      if (!before) put(it, { ...frame, own: false });
      else if (before.epoch === frame.epoch) count(it, before);
      else Object.assign(before, own);
      keepDirects(it);
      return;
    }
    if (it.epoch !== undefined && it.epoch !== frame.epoch) forget(it);
    it.epoch = frame.epoch;
    const message = { ...frame, own: frame.id !== undefined && frame.from === me };
    if (message.own) {
      message.state = "accepted";
      settle(frame.id);
    }
    if (it.loading && (it.first === undefined || frame.seq < it.first)) it.loading.page.set(frame.seq, message);
    // Of a page that was given up: it is asked for again.
    else if (frame.seq < it.first) return;
    // Of a page that reaches what is here already.
    else if (it.loading?.args.after !== undefined && frame.seq <= it.last) it.loading.met = true;
    else put(it, message);
  },
  accepted(frame) {
    const text = waiting.find((text) => text.id === frame.id);
    if (!text) return;
    if (text.to.startsWith("@")) {
      const it = place(text.to);
      settle(frame.id);
      put(it, { id: text.id, from: me, body: text.body, ts: Date.now(), own: true, state: "accepted" });
      keepDirects(it);
    } else if (!places.has(text.to)) {
      settle(frame.id);
    } else {
      // The message itself comes, or has come.
      text.accepted = true;
      showWaiting();
    }
    pump();
  },
  receipt(frame) {
    if (frame.to !== undefined) {
      const it = places.get(`@${frame.to}`);
      const message = it?.messages.findLast((message) => message.id === frame.id);
      if (frame.state === "failed") {
        if (message) Object.assign(message, { state: "failed", reason: known(frame.reason ?? "") });
        else fail(frame.id, known(frame.reason ?? ""));
      } else if (message && ["sent", "delivered", "unconfirmed"].includes(frame.state)) {
        message.state = frame.state;
      }
      if (message) {
        showState(message);
        keepDirects(it);
      }
      return;
    }
    const it = places.get(frame.room);
    for (let n = (it?.messages.length ?? 0) - 1; n >= 0; n -= 1) {
      const message = it.messages[n];
      if (!message.own || message.seq > frame.seq) continue;
      if (message.whole) break;
      Object.assign(message, { state: "receipt", delivered: frame.delivered, members: frame.members, whole: frame.delivered >= frame.members });
      showState(message);
      if (message.seq < frame.seq - 64) break;
    }
  },
  presence(frame) {
    const it = places.get(frame.room);
    if (!it) return;
    if (frame.state === "joined") {
      const here = it.users.has(frame.user);
      it.users.add(frame.user);
      // Before oneself nobody is heard of; another session may have taken another name.
      if (!introduced) called(frame.user);
      introduced = true;
      if (!it.inside) return entered(it);
      if (here) return;
    } else if (frame.state === "left") {
      it.users.delete(frame.user);
      if (frame.user === me) received.delete(it.name);
    } else {
      it.users.delete(frame.user);
      it.users.add(frame.to);
      if (frame.user === me) called(frame.to);
    }
    note(it, say(frame.state, frame.user, frame.to), true);
    // Where many come and go at once, the lists are drawn once.
    showUsers.timer ??= setTimeout(() => {
      showUsers.timer = undefined;
      if (current) showUsers(current);
    }, 50);
  },
  typing(frame) {
    const it = places.get(frame.room);
    if (!it) return;
    clearTimeout(it.typing.get(frame.user));
    it.typing.set(frame.user, setTimeout(() => {
      it.typing.delete(frame.user);
      showTyping();
    }, 5000));
    showTyping();
  },
  gap(frame) {
    const it = placeOf(frame);
    if (!it) return;
    gaps = true;
    note(it, say("gap"));
  },
  recovered(frame) {
    if (!frame.recovered && coming.has(frame.room)) gaps = true;
    if (frame.room.startsWith("@")) {
      own = { room: frame.room, epoch: frame.epoch, seq: frame.to };
      keep("own", own);
      return done(frame.room);
    }
    const it = places.get(frame.room);
    if (!it) return;
    if (it.epoch !== frame.epoch) {
      forget(it);
      it.epoch = frame.epoch;
      load(it);
    }
    it.last = frame.to;
    if (it.more && it.first === undefined) {
      it.first = frame.to + 1;
      load(it);
    }
    if (!it.inside) entered(it);
    done(frame.room);
  },
  history(frame) {
    const it = places.get(frame.room);
    if (!it?.loading) return;
    // What is said while a page is on its way comes beside it, and in it too.
    const { args, page, met, then, first } = it.loading;
    it.loading = undefined;
    // What it would stand beside was let go meanwhile.
    if (it.first > first) return reach();
    it.epoch ??= frame.epoch;
    then([...page.values()].sort((a, b) => a.seq - b.seq), frame.more, met, frame.count === 0 && frame.more ? behind(args) : undefined);
  },
  found(frame) {
    results(frame);
  },
  system(frame) {
    const names = frame.body.split("\n");
    if (frame.list === "rooms") {
      listed = names.map((name, n) => ({ name, sessions: frame.sessions[n] })).sort((a, b) => b.sessions - a.sessions);
      return showPlaces();
    }
    if (frame.list === "users") {
      const it = places.get(frame.room);
      if (!it) return;
      it.users = new Set(names);
      return showUsers(it);
    }
    note(current ?? place("global"), known(frame.body));
    askRooms();
  },
  error(frame) {
    if (frame.id !== undefined) {
      const text = waiting.find((text) => text.id === frame.id);
      if (frame.code === "not_in_room" && text && !text.again) {
        text.again = true;
        text.flying = false;
        const it = place(text.to);
        // Whoever was put out is not inside any more, and is again before it goes out.
        it.inside = false;
        return enter(it);
      }
      fail(frame.id, known(frame.body));
      return pump();
    }
    if (frame.code === "no_room") return noRoom(frame.body);
    const names = (name) => name !== undefined && frame.body.match(/\broom ([\w.-]+)/)?.[1] === name;
    // Somebody else was quicker to make it anew.
    const made = [...places.values()].find((it) => it.made && names(it.name));
    if (frame.code === "room_exists" && made) return enter(made);
    const direct = frame.body.match(/ (@\w+)$/)?.[1];
    if (frame.code === "not_in_room" && direct) {
      // That was another user of this browser. By now it may be known where this one stands.
      if (own?.room === direct) keep("own", own = undefined);
      return done(direct);
    }
    const refuses = (room) => (frame.code === "not_in_room" ? names(room) : ["busy", "unavailable"].includes(frame.code));
    if (refuses(searched?.room)) unanswered(known(frame.body));
    note(current ?? place("global"), known(frame.body));
    if (frame.code === "busy") {
      setTimeout(() => {
        for (const it of places.values()) if (online && !it.inside && entering.has(it.name)) enter(it);
      }, 1000);
    } else {
      const all = ["unavailable", "bad_room_name"].includes(frame.code);
      for (const name of entering) if (all || names(name)) entering.delete(name);
      // A room that lets nobody in has nothing more to tell.
      for (const name of coming) {
        if (!names(name)) continue;
        gaps = true;
        done(name);
      }
    }
    // No place for one room more: for the one that was asked for first.
    const [shut] = ["full", "too_many_rooms"].includes(frame.code) ? entering : [];
    if (shut !== undefined) {
      entering.delete(shut);
      const it = places.get(shut);
      gaps ||= it?.last !== undefined;
      done(shut);
      if (it) it.made = false;
    }
    if (shut !== undefined || ["banned", "room_closed"].includes(frame.code)) {
      for (const text of waiting) if ((text.to === shut || names(text.to)) && !ready(text)) fail(text.id, known(frame.body));
    }
    for (const it of places.values()) {
      if (!it.loading || !refuses(it.name)) continue;
      const { args, then } = it.loading;
      const asked = socket;
      it.loading = undefined;
      const again = () => asked === socket && (it.loading ? setTimeout(again, 1000) : ask(it, args, then));
      if (frame.code === "busy") setTimeout(again, 1000);
    }
  },
};

function hear(frame) {
  if (Object.hasOwn(HEARD, frame.type)) HEARD[frame.type](frame);
}

/** Where it belongs; nowhere when this user has left the room meanwhile. */
function placeOf(frame) {
  if (!frame.room.startsWith("@")) return places.get(frame.room);
  // Of a gap it is the place of a message.
  return typeof frame.from === "string" ? place(`@${frame.from}`) : current ?? place("global");
}

/** This user has a name, maybe another one than before. */
function called(name) {
  if (name === me) return;
  me = name;
  keep("nickname", me);
  $("me").textContent = me;
  for (const it of places.values()) if (it.direct) keepDirects(it);
}

/** This session is in a room: what was typed for it goes out. */
function entered(it) {
  entering.delete(it.name);
  Object.assign(it, { inside: true, made: false });
  showPlaces();
  send("listusers", { room: it.name });
  if (it.first === undefined) load(it);
  // Where there is something to go on from, `recovered` tells more.
  if (it.last === undefined) done(it.name);
  pump();
}

/** The server has no such room. */
function noRoom(words) {
  const missing = [...places.values()].find((it) => !it.direct && !it.inside && words.includes(` ${it.name} `));
  if (!missing) return note(current ?? place("global"), known(words));
  const wanted = missing.name;
  const texts = waiting.some((text) => mine(text) && text.to === wanted);
  // A room of before, which vanished meanwhile, is made anew: somebody has texts for it, or was in it.
  if (missing.made || (!texts && !missing.asked && missing.first === undefined)) {
    places.delete(wanted);
    entering.delete(wanted);
    keepPlaces(wanted);
    done(wanted);
    const asked = current === missing;
    note(current && !asked ? current : place("global"), known(words));
    if (asked) {
      show("global");
      // What is being typed for that room is not for everybody.
      if (document.activeElement === $("text")) $("log").focus();
    }
    return showPlaces();
  }
  missing.made = true;
  if (missing.last !== undefined) {
    // What was said in the room of that name is gone with it.
    gaps = true;
    note(missing, say("gap"));
    Object.assign(missing, { first: undefined, last: undefined, epoch: undefined, more: false });
    toPresent(missing);
  }
  awaits(wanted);
  send("createroom", { name: wanted });
}

/** Asks for a page of what is kept; what comes is given on, in order, and whether there is more where it was asked for. */
function ask(it, args, then) {
  if (it.direct || it.loading || !online) return;
  it.loading = { args, then, first: it.first, page: new Map(), met: false };
  send("history", { room: it.name, limit: PAGE, ...args });
}

/**
 * Where to go on behind a page of which nothing came, as all of it was said by those whom this user does not hear: so many
 * messages take so many places at least.
 */
function behind({ after, before, limit = PAGE }) {
  return after === undefined ? before - limit : after + limit;
}

/** Asks for what was said before what is shown. */
function load(it, then) {
  const view = it.past ?? it;
  const { first } = view;
  ask(it, first === undefined ? {} : { before: first }, (page, more, met, next) => {
    // Whoever looks elsewhere meanwhile does not need it, nor what does not stand beside the rest any more.
    if (view !== it && view !== it.past || view.first > first) return;
    view.more = more;
    view.begun = !more;
    prepend(view, page);
    if (next > 0) {
      view.first = next;
      return load(it, then);
    }
    // Nothing of the newest page is for this user. Where the room ends is told to those who ask from another epoch.
    if (more && view.first === undefined) send("resume", { room: it.name, epoch: "?", seq: 0 });
    if (view !== it) cut(view, view.messages[page.length], false);
    then?.();
  });
}

function forget(it) {
  received.delete(it.name);
  Object.assign(it, { messages: [], first: undefined, last: undefined, more: false, begun: false, epoch: undefined, past: undefined });
  if (it === current) draw();
}

function directKey(name) {
  return `direct.${me}.${name}`;
}

/** Keeps the latest of a conversation, with what another tab of this user put there. */
function keepDirects(it) {
  learnDirects(it);
  let room = MOST_KEPT;
  const kept = [];
  for (let n = it.messages.length - 1; n >= 0 && kept.length < MOST_DIRECTS && room > 0; n -= 1) {
    const { element, ...message } = it.messages[n];
    if (message.note !== undefined) continue;
    room -= message.body.length;
    kept.unshift(message);
  }
  keep(directKey(it.name), kept);
}

/** A message as another tab heard it first, or as it was heard before the server was restored from a copy and told it anew. */
function heardBefore(it, { room, epoch, seq, ts, body }) {
  const same = (other) => (other.epoch === epoch ? other.room === room && other.seq === seq : other.ts === ts && other.body === body);
  return it.messages.findLast((other) => !other.own && same(other));
}

/** Takes in what another tab of this user keeps of a conversation. */
function learnDirects(it) {
  const said = new Set(it.messages.map(({ own, id }) => own && id));
  const others = readList(directKey(it.name), isDirect).filter((message) => {
    return message.ts >= (it.cut ?? 0) && !(message.own ? said.has(message.id) : heardBefore(it, message));
  });
  if (others.length === 0) return;
  for (const message of others) it.messages.splice(it.messages.findLastIndex((other) => other.ts <= message.ts) + 1, 0, message);
  if (it === current) draw();
}

// ---- what is said

function speak(body) {
  const text = { id: unique(), to: current.name, body, since: undefined };
  waiting.push(text);
  goOut(text);
}

/** Has a text go out, from where it belongs. */
function goOut(text) {
  keepWaiting();
  showWaiting();
  const it = places.get(text.to);
  // Whoever was not let in may be by now.
  if (online && it && !ready(text) && !entering.has(it.name)) enter(it);
  pump();
}

/** Sends what waits, in order, not faster than a server likes. */
function pump() {
  if (pump.busy || !online) return;
  const now = Date.now();
  const text = waiting.find((text) => mine(text) && !text.flying && !text.accepted && text.failed === undefined && ready(text));
  if (!text) return;
  if (text.since && Math.abs(now - text.since) > REMEMBERED) {
    // The server may not know the id any more: sent again, it might be said twice.
    fail(text.id, say("unknown"));
    return pump();
  }
  text.flying = true;
  text.since ??= now;
  if (text.to.startsWith("@")) send("direct", { to: text.to.slice(1), body: text.body, id: text.id });
  else send("message", { room: text.to, body: text.body, id: text.id });
  keepWaiting();
  showWaiting();
  pump.busy = true;
  setTimeout(() => {
    pump.busy = false;
    pump();
  }, 60);
}

/** Whether a text is not of somebody who signed out at this browser before. */
function mine(text) {
  return text.by === undefined || text.by === me;
}

function ready(text) {
  return text.to.startsWith("@") || places.get(text.to)?.inside;
}

/** A text has its place among the messages. */
function settle(id) {
  const at = waiting.findIndex((text) => text.id === id);
  if (at < 0) return;
  waiting.splice(at, 1);
  keepWaiting();
  showWaiting();
}

function fail(id, why) {
  const text = waiting.find((text) => text.id === id);
  if (!text) return;
  Object.assign(text, { failed: why, flying: false });
  keepWaiting();
  showWaiting();
}

// ---- what is shown

function banner(words, now = false, forMs) {
  $("banner").hidden = !words;
  if (words !== undefined && $("banner-text").textContent !== words) $("banner-text").textContent = words;
  $("banner-now").hidden = !now;
  clearTimeout(banner.timer);
  if (forMs) banner.timer = setTimeout(() => { $("banner").hidden = true; }, forMs);
}

function make(tag, className, words) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (words !== undefined) element.textContent = words;
  return element;
}

function atEnd() {
  const log = $("log");
  return log.scrollHeight - log.scrollTop - log.clientHeight < 60;
}

/** Whoever is at the end stays there: when a phone's keyboard comes up, too. */
let pinned = true;

function toEnd() {
  pinned = true;
  $("log").scrollTop = $("log").scrollHeight;
  $("down").hidden = true;
}

/** A time, of whatever a server says; one that no calendar has is the first. */
const when = (ts) => new Date(Math.abs(ts) <= 8.64e15 ? ts : 0);
const dayOf = (ts) => when(ts).toDateString();
const region = (navigator.languages ?? []).find((tag) => tag.slice(0, 2) === language) ?? language;
const clock = new Intl.DateTimeFormat(region, { hour: "2-digit", minute: "2-digit" });
const date = new Intl.DateTimeFormat(region, { weekday: "long", day: "numeric", month: "long", year: "numeric" });

function dayName(ts) {
  const day = dayOf(ts);
  if (day === dayOf(Date.now())) return say("today");
  if (day === dayOf(Date.now() - 86_400_000)) return say("yesterday");
  return date.format(when(ts));
}

/** Adds what was said, or says where it stands already. */
function put(it, message) {
  if (message.seq !== undefined && !it.direct) {
    if (it.last !== undefined && message.seq <= it.last && it.messages.some((other) => other.seq === message.seq)) return;
    it.first ??= message.seq;
    it.last = Math.max(message.seq, it.last ?? 0);
  }
  if (it.typing.has(message.from)) {
    clearTimeout(it.typing.get(message.from));
    it.typing.delete(message.from);
    showTyping();
  }
  count(it, message);
  it.messages.push(message);
  if (it !== shown()) return trim(it);
  const end = atEnd();
  append(it, it.messages.length - 1);
  trim(it);
  if (end || message.own) toEnd();
  else $("down").hidden = false;
}

/** Counts a message that nobody has seen. */
function count(it, message) {
  if (message.own || it === shown() && document.visibilityState === "visible" && document.hasFocus()) return;
  if (it.unread === 0) it.read = message;
  it.unread += 1;
  alertFor(it, message);
  showPlaces();
}

function append(it, n) {
  const list = $("messages");
  let chunk = list.lastElementChild;
  if (!chunk || chunk.childElementCount >= CHUNK) list.append(chunk = make("ol", "chunk"));
  chunk.append(...elements(it, n));
}

/** Lists of some elements each, which a browser can pass over when they are far from the screen. */
function chunks(all) {
  const made = [];
  for (let n = 0; n < all.length; n += CHUNK) {
    const chunk = make("ol", "chunk fresh");
    chunk.append(...all.slice(n, n + CHUNK));
    made.push(chunk);
  }
  // A frame with all of it is drawn, and its height remembered. Nobody has to hear all of it read aloud.
  $("log").ariaBusy = "true";
  requestAnimationFrame(() => requestAnimationFrame(() => {
    $("log").ariaBusy = "false";
    for (const chunk of made) chunk.classList.remove("fresh");
  }));
  return made;
}

/** What stands for the nth message: maybe a day, then itself. */
function elements(it, n) {
  const message = it.messages[n];
  const before = it.messages[n - 1];
  const all = [];
  if (!before || dayOf(before.ts) !== dayOf(message.ts)) {
    const day = make("li", "day");
    day.append(make("span", "", dayName(message.ts)));
    all.push(day);
  }
  if (message === it.read) all.push(make("li", "unread-mark", say("unread")));
  if (message.note !== undefined) {
    message.element = make("li", "note", message.note);
    all.push(message.element);
    return all;
  }
  const first = !before || before.note !== undefined || before.from !== message.from || message.ts - before.ts > 300_000 || all.length > 0;
  const li = make("li", `message${first ? " first" : ""}${message.own ? " own" : ""}${!message.own && calls(message.body) ? " called" : ""}`);
  const header = heading(message.from);
  header.append(time(message.ts));
  const body = make("div", "body");
  body.dir = "auto";
  body.append(...linked(message.body));
  if (first) li.append(avatar(message.from));
  li.append(header, body);
  if (message.own) {
    const foot = make("div", "foot");
    foot.append(make("span", "state"));
    li.append(foot);
  }
  message.element = li;
  showState(message);
  all.push(li);
  return all;
}

/** A sign for somebody: their first letter on a colour of theirs. */
function avatar(name) {
  const sign = make("span", "avatar", Array.from(name)[0]?.toUpperCase());
  sign.ariaHidden = "true";
  sign.style.setProperty("--hue", hue(name));
  return sign;
}

function heading(name) {
  const header = make("header");
  const from = make("bdi", "from", name);
  from.style.setProperty("--hue", hue(name));
  header.append(from);
  return header;
}

function hue(name) {
  let sum = 7;
  for (const letter of name) sum = (sum * 31 + letter.codePointAt(0)) % 360;
  return sum;
}

/** A text, with links where it names pages of the web; none of them goes on behind what turns the direction of writing. */
function linked(words) {
  return words.split(/(https?:\/\/[^\s<>"'`\p{Bidi_C}]*[^\s<>"'`\p{Bidi_C}.,:;!?)\]}])/u).map((part, n) => {
    if (n % 2 === 0 || !URL.canParse(part)) return part;
    const link = make("a", "", part);
    link.href = part;
    link.target = "_blank";
    link.rel = "noopener noreferrer nofollow";
    return link;
  });
}

function time(ts) {
  const element = make("time", "", clock.format(when(ts)));
  element.dateTime = when(ts).toISOString();
  return element;
}

function showState(message) {
  const state = message.element?.querySelector(".state");
  if (!state) return;
  const kind = message.state === "receipt" ? message.whole && message.members > 0 ? "delivered" : "accepted" : message.state ?? "";
  state.className = `state ${kind}`;
  message.element.classList.toggle("failed", kind === "failed");
  if (message.state === "receipt") {
    state.textContent = message.members === 0 || message.delivered === 0 ? say("accepted") : message.whole ? say("delivered") : say("deliveredTo", message.delivered, message.members);
  } else if (message.state === "failed") {
    state.textContent = say("failed", message.reason ?? "");
  } else {
    state.textContent = message.state ? say(message.state) : "";
  }
}

/** A line that nobody said. Who comes and goes is told in one line, as long as nothing else is. */
function note(it, words, folded = false) {
  const last = it.messages.at(-1);
  if (folded && last?.folded && last.note.length < 200 && dayOf(last.ts) === dayOf(Date.now())) {
    last.note += ` · ${words}`;
    if (last.element) last.element.textContent = last.note;
    return;
  }
  it.messages.push({ note: words, folded, ts: Date.now() });
  if (it !== shown()) return trim(it);
  const end = atEnd();
  append(it, it.messages.length - 1);
  trim(it);
  if (end) toEnd();
}

/** Puts earlier messages in front, and leaves the reader where they were. */
function prepend(it, page) {
  const fresh = page.filter((message) => it.first === undefined || message.seq < it.first);
  const empty = it.first === undefined;
  if (fresh.length > 0) {
    it.first = fresh[0].seq;
    it.last ??= fresh.at(-1).seq;
    if (fresh.at(-1).seq > it.last) it.last = fresh.at(-1).seq;
    it.messages = fresh.concat(it.messages);
  }
  if (it !== shown()) return;
  if (fresh.length === 0) return showOlder();
  if (empty) return draw();
  // The day and the heading of what came first may not be needed any more.
  const list = $("messages");
  const old = it.messages[fresh.length];
  const all = [];
  for (let n = 0; n < fresh.length; n += 1) all.push(...elements(it, n));
  const log = $("log");
  const held = old?.element ?? list.querySelector(".message") ?? list;
  const top = held.getBoundingClientRect().top;
  const day = list.querySelector("li");
  if (old && dayOf(old.ts) === dayOf(fresh.at(-1).ts) && day?.className === "day") day.remove();
  list.prepend(...chunks(all));
  showOlder();
  log.scrollTop += held.getBoundingClientRect().top - top;
}

/** Bounds what a page holds of a conversation: more where somebody has scrolled back, less where nobody looks. */
function trim(it) {
  const most = it !== shown() ? MOST_MESSAGES / 10 : atEnd() ? MOST_MESSAGES : 2 * MOST_MESSAGES;
  if (it.messages.length <= most) return;
  it.messages.splice(0, it.messages.length - Math.min(most, MOST_MESSAGES) / 2);
  it.cut = it.messages[0].ts;
  it.first = it.messages.find((message) => message.seq !== undefined)?.seq ?? it.first;
  it.more = !it.direct;
  it.begun = false;
  if (it === shown()) draw();
}

/** Whether there is more above, or this is where it begins. */
function showOlder() {
  const it = shown();
  $("more").hidden = !it.more;
  $("begin").hidden = it.more || !(it.direct || it.begun);
}

/** What is shown of the conversation: what is said now, or a part of the past. */
const shown = () => current?.past ?? current;

function draw() {
  const it = shown();
  const all = [];
  for (let n = 0; n < it.messages.length; n += 1) all.push(...elements(it, n));
  $("messages").replaceChildren(...chunks(all));
  showOlder();
  $("past").hidden = it === current;
  $("past-words").textContent = it === current ? "" : say("past");
  $("waiting").hidden = it !== current;
  if (it !== current) {
    pinned = false;
    $("down").hidden = true;
    return;
  }
  toEnd();
  // Where more is new than there is room for, reading goes on where it ended.
  const unread = $("messages").querySelector(".unread-mark");
  if (!unread || unread.getBoundingClientRect().top >= $("log").getBoundingClientRect().top) return;
  unread.scrollIntoView();
  pinned = false;
  $("down").hidden = false;
}

/** Draws all of it anew, and leaves the reader where they were: by a message that was there and still is. */
function redraw(held) {
  const top = held.element.getBoundingClientRect().top;
  const inside = $("messages").contains(document.activeElement);
  draw();
  $("log").scrollTop += held.element.getBoundingClientRect().top - top;
  if (inside) $("log").focus({ preventScroll: true });
}

/**
 * Brings a list to what it should show, each line by its key, filled anew when its look is another. Lines that stay are left
 * alone: under a finger that is just clicking, and with the focus.
 */
function fill(list, lines) {
  const old = new Map(Array.from(list.children, (li) => [li.key, li]));
  let at = list.firstElementChild;
  for (const { key, look, begin, show: put } of lines) {
    const li = old.get(key) ?? Object.assign(begin(), { key });
    old.delete(key);
    if (li.look !== look) put(li);
    li.look = look;
    if (li === at) at = at.nextElementSibling;
    else list.insertBefore(li, at);
  }
  for (const li of old.values()) li.remove();
}

/** A line that is a button. */
function buttonLine(className, onclick) {
  const li = make("li");
  li.append(Object.assign(make("button", className), { type: "button", onclick }));
  return li;
}

function showWaiting() {
  if (!current) return;
  const end = !current.past && atEnd();
  fill($("waiting"), waiting.filter((text) => mine(text) && text.to === current.name).map((text, n) => {
    const state = text.failed !== undefined ? "failed" : text.accepted ? "accepted" : text.flying || online ? "sending" : "queued";
    const words = state === "failed" ? say("failed", text.failed) : say(state);
    const first = n === 0;
    return { key: text.id, look: `${words}${first}`, begin: () => make("li"), show: (li) => showText(li, text, { state, words, first }) };
  }));
  if (end) toEnd();
}

/** A text that has no place among the messages yet. */
function showText(li, text, { state, words, first }) {
  li.className = `message own${first ? " first" : ""}${state === "failed" ? " failed" : ""}`;
  const body = make("div", "body", text.body);
  body.dir = "auto";
  const foot = make("div", "foot");
  foot.append(make("span", `state ${state === "queued" ? "sending" : state}`, words));
  if (state === "failed") {
    const act = (key, onclick) => Object.assign(make("button", "link", say(key)), { type: "button", onclick });
    foot.append(act("retry", () => {
      // Under an id of its own: what became of the old one is known, or the server does not know it any more.
      Object.assign(text, { id: unique(), failed: undefined, since: undefined, again: undefined });
      goOut(text);
      $("text").focus();
    }), act("drop", () => {
      settle(text.id);
      $("text").focus();
    }));
  }
  li.replaceChildren(...first ? [avatar(me), heading(me)] : [], body, foot);
}

/** Whether somebody is in a room that this user is in. */
function isHere(name) {
  for (const it of places.values()) if (!it.direct && it.inside && it.users.has(name)) return true;
  return false;
}

function showPlaces() {
  const line = ({ name, direct, members, unread = 0 }) => {
    const here = direct && isHere(name.slice(1));
    const its = name === current?.name;
    const put = (li) => {
      const button = li.firstChild;
      button.replaceChildren(make("bdi", direct ? "" : "hash", direct ? name.slice(1) : name));
      if (here) button.append(Object.assign(make("span", "here"), { role: "img", ariaLabel: say("online") }));
      if (members !== undefined) button.append(make("span", "members", String(members)));
      if (unread > 0) button.append(Object.assign(make("span", "badge", String(unread)), { role: "img", ariaLabel: say("unreadCount", unread) }));
      if (its) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    };
    const begin = () => buttonLine("place", () => {
      show(name);
      open("places", false);
      $("text").focus();
    });
    return { key: name, look: [here, members, unread, its].join(), begin, show: put };
  };
  const all = [...places.values()];
  fill($("rooms"), all.filter((it) => !it.direct).map((it) => line({ ...it, members: it.inside ? it.users.size : undefined })));
  const others = listed.filter((room) => !places.has(room.name)).slice(0, MOST_LISTED);
  $("others-title").hidden = others.length === 0;
  fill($("others"), others.map((room) => line({ name: room.name, members: room.sessions })));
  fill($("directs"), all.filter((it) => it.direct).map(line));
  const unread = all.reduce((sum, it) => sum + it.unread, 0);
  document.title = `${unread > 0 ? `(${unread}) ` : ""}${current ? `${current.direct ? current.name.slice(1) : current.name} – ` : ""}Talk`;
  const missed = unread - (current?.unread ?? 0);
  $("elsewhere").hidden = missed === 0;
  $("elsewhere").textContent = String(missed);
  $("since").hidden = !current?.unread;
  $("since").textContent = String(current?.unread);
  $("since").ariaLabel = say("unreadCount", current?.unread);
}

function show(name) {
  if (current) keepDraft();
  const it = place(name);
  if (current !== it) {
    if (current) {
      current.read = undefined;
      // What is not shown any more does not have to be held.
      for (const message of current.messages) message.element = undefined;
    }
    searched = undefined;
    $("search").value = "";
    $("results").replaceChildren();
    $("search-status").textContent = "";
    $("search-more").hidden = true;
  }
  if (current) current.past = undefined;
  if (current !== it) jumps += 1;
  current = it;
  keep("current", name);
  seen();
  $("title").textContent = it.direct ? name.slice(1) : name;
  $("title").className = it.direct ? "direct" : "";
  $("leave").hidden = name === "global";
  const word = $("leave").querySelector(".word");
  word.textContent = $("leave").title = say(it.direct ? "close" : "leave");
  showDraft();
  draw();
  showWaiting();
  showUsers(it);
  showTyping();
  showPlaces();
  if (online && !it.direct && !it.inside && !entering.has(name)) enter(it);
}

function seen() {
  if (!current || current.past || document.visibilityState !== "visible") return;
  current.unread = 0;
  showPlaces();
}

function showUsers(it) {
  showPlaces();
  if (it !== current) return;
  $("count").textContent = it.direct ? say("direct") : it.inside ? say("count", it.users.size) : "";
  const names = it.direct ? [it.name.slice(1), me] : [...it.users].sort((a, b) => a.localeCompare(b));
  fill($("users"), names.slice(0, MOST_USERS).map((name) => ({
    key: name,
    look: String(name === me),
    begin: () => buttonLine("", () => {
      show(`@${name}`);
      if (tight.matches) open("people", false);
      $("text").focus();
    }),
    show: (li) => {
      li.firstChild.replaceChildren(avatar(name), make("bdi", "", name === me ? `${name} (${say("you")})` : name));
      li.firstChild.disabled = name === me;
    },
  })));
}

function showTyping() {
  const names = [...(current?.typing.keys() ?? [])];
  $("typing").textContent = names.length === 0 ? "" : names.length === 1 ? say("typing", names[0]) : say("typingMany", names.slice(0, 3).join(", "));
}

/** Whether a text names this user. */
function calls(words) {
  return new RegExp(`(^|\\W)${me.replace(/[^\w]/g, "\\$&")}(\\W|$)`, "i").test(words);
}

const alerts = new Set();

function alertFor(it, message) {
  if (!notifies() || !("Notification" in window) || Notification.permission !== "granted" || !(it.direct || calls(message.body))) return;
  let notification;
  try {
    notification = new Notification(it.direct ? message.from : `${message.from} – ${it.name}`, { body: message.body.slice(0, 200), tag: it.name });
  } catch {
    return; // Telephones let no page do it so.
  }
  alerts.add(notification);
  notification.onclose = () => alerts.delete(notification);
  notification.onclick = () => {
    window.focus();
    if (places.get(it.name) === it) show(it.name);
    notification.close();
  };
}

// ---- search

function results({ room, text, messages: all, before }) {
  if (!searched?.asked || searched.room !== room || searched.text !== text || room !== current?.name) return;
  searched.asked = false;
  // The answer to a question of before may have come.
  const messages = all.filter(({ seq }) => searched.before === undefined || seq < searched.before);
  searched.found += messages.length;
  searched.before = before;
  $("results").append(...messages.map((message) => finding(message, text, () => jump(message.seq))));
  const going = messages.length === 0 && before !== undefined && searched.rounds < 50;
  $("search-status").textContent = going ? say("searching") : searched.found ? say(before === undefined ? "foundSome" : "foundMore", searched.found) : say("nothing");
  $("search-more").hidden = before === undefined || going;
  if (going) searchOn();
}

/** What was found, with what was searched for. */
function finding({ from, ts, body }, text, onclick) {
  const li = buttonLine("", onclick);
  const found = make("span", "body");
  mark(found, body.slice(0, 400), text);
  li.firstChild.append(make("small", "", `${from} · ${dayName(ts)} ${clock.format(when(ts))}`), found);
  return li;
}

/** The words and phrases of a search. */
function terms(text) {
  return Array.from(text.matchAll(/"([^"]+)"?|[^\s"]+/g), ([all, phrase]) => (phrase ?? all).trim().replace(/\*$/, "")).filter(Boolean);
}

function mark(element, words, text) {
  const all = terms(text).map((term) => term.replace(/[^\p{L}\p{N}\s]/gu, "\\$&").replace(/\s+/g, "\\s+"));
  if (all.length === 0) return element.append(words);
  element.append(...words.split(new RegExp(`(${all.join("|")})`, "i")).map((part, n) => (n % 2 ? make("mark", "", part) : part)));
}

let searched;

function searchOn() {
  if (!searched || searched.asked) return;
  searched.asked = true;
  if (!online) return unanswered(say("noServer"));
  searched.rounds += 1;
  const { room, text, before } = searched;
  send("search", before === undefined ? { room, text } : { room, text, before });
}

/** What was searched for is not answered: it can be asked again. */
function unanswered(why) {
  if (!searched?.asked) return;
  searched.asked = false;
  $("search-status").textContent = why;
  $("search-more").hidden = searched.before === undefined;
}

/** Shows a message that was found, however far back it is, unless the reader went elsewhere meanwhile. */
function jump(seq, it = current, turn = (jumps += 1)) {
  if (it !== current || turn !== jumps) return;
  const here = (view) => view.messages.find((message) => message.seq === seq);
  if (it.past && here(it)) {
    toPresent(it);
    turn = jumps;
  }
  const found = here(shown());
  if (found) return point(found.element);
  if (it.first === undefined || seq >= it.first) return missing();
  if (!online) return missing("noServer");
  if (it.loading) {
    // Behind what is on its way.
    const { then } = it.loading;
    it.loading.then = (...answer) => {
      then(...answer);
      jump(seq, it, turn);
    };
    return;
  }
  // What is near is gone back to, so that nothing is left out between it and now.
  const { first } = it;
  if (!it.past && first - seq <= NEAR) return load(it, () => (it.first < first ? jump(seq, it, turn) : turn === jumps && missing()));
  ask(it, { before: seq + 1, limit: PAGE / 2 }, (older, more) => {
    if (turn !== jumps) return;
    if (older.at(-1)?.seq !== seq) return missing();
    ask(it, { after: seq, limit: PAGE / 2 }, (newer, newest, met, next) => {
      if (it !== current || turn !== jumps) return;
      // What is not shown does not have to be held.
      for (const message of it.messages) message.element = undefined;
      it.past = { name: it.name, messages: older, first: older[0].seq, last: seq, more, begun: !more };
      draw();
      extend(it, newer, newest, met, next);
      point(here(shown())?.element);
      reach();
    });
  });
}

let jumps = 0;

/** Says why a message is not shown. */
function missing(why = "notKept") {
  $("search-status").textContent = say(why);
}

// ---- the past

/** Puts what was said next behind a part of the past. Where that meets what is said now, it is one again. */
function extend(it, page, more, met, next) {
  const { past } = it;
  const held = past.messages.at(-1);
  for (const message of page) {
    // What was asked for twice is there already.
    if (message.seq <= past.last) continue;
    past.messages.push(message);
    past.last = message.seq;
    append(past, past.messages.length - 1);
  }
  if (more && !met) {
    cut(past, held, true);
    past.last = next ?? past.last;
    return;
  }
  Object.assign(it, { messages: past.messages.concat(it.messages), first: past.first, more: past.more, begun: past.begun, past: undefined });
  redraw(held);
  pinned = atEnd();
  $("down").hidden = pinned;
  seen();
}

/** Bounds what is held of the past: what is far from where it is read goes, and comes again when it is read. */
function cut(past, held, older) {
  const spare = past.messages.length - MOST_PAST / 2;
  if (past.messages.length <= MOST_PAST) return;
  if (older) Object.assign(past, { messages: past.messages.slice(spare), more: true, begun: false });
  else past.messages.length -= spare;
  past.first = past.messages[0].seq;
  past.last = past.messages.at(-1).seq;
  redraw(held);
}

/** Loads what is near the reader, above or below. */
function reach() {
  const log = $("log");
  const it = current;
  if (!it) return;
  if (log.scrollTop < 400 && shown().more) return load(it, it.past && reach);
  const { past } = it;
  if (!past || log.scrollHeight - log.scrollTop - log.clientHeight >= 400) return;
  const after = past.last;
  ask(it, { after }, (page, more, met, next) => {
    if (past !== it.past || past.last < after) return;
    extend(it, page, more, met, next);
    reach();
  });
}

/** Shows what is said now again, and what was said meanwhile. */
function toPresent(it = current) {
  jumps += 1;
  if (!it?.past) return;
  it.past = undefined;
  if (it !== current) return;
  draw();
  showWaiting();
  seen();
}

/** Leads to a message that was found. */
function point(element) {
  if (!element) return;
  if (tight.matches) open("found", false);
  for (const other of document.querySelectorAll(".message.found")) other.classList.remove("found");
  element.classList.add("found");
  element.scrollIntoView({ block: "center" });
  if (!tight.matches) return;
  element.tabIndex = -1;
  element.focus({ preventScroll: true });
}

// ---- the page

function open(id, yes = true) {
  const panel = $(id);
  if (id === "places") panel.classList.toggle("open", yes);
  else panel.hidden = !yes;
  for (const button of document.querySelectorAll(`[data-open="${id}"]`)) button.setAttribute("aria-expanded", String(yes));
  // There is room for one panel: one takes the other's place.
  if (yes) for (const other of ["people", "found"]) if (id !== "places" && other !== id && isOpen(other)) open(other, false);
  cover();
  if (yes) (id === "found" ? $("search") : panel.querySelector("button")).focus();
}

/** Where the conversations lie over the one that is shown; where the panels do. The style sheet has the same widths. */
const narrow = matchMedia("(max-width: 46rem)");
const tight = matchMedia("(max-width: 62rem)");

/** What lies over the conversation covers it, for the keyboard too. */
function cover() {
  $("room").inert = narrow.matches && isOpen("places") || tight.matches && ["people", "found"].some(isOpen);
}

function isOpen(id) {
  return id === "places" ? $(id).classList.contains("open") : !$(id).hidden;
}

function grow() {
  const text = $("text");
  text.style.height = "auto";
  if (text.value) text.style.height = `${text.scrollHeight + 2}px`;
}

/** Says at a field what is wrong with what is in it, or that nothing is. */
function wrong(id, words) {
  const field = $(id);
  const error = $(id === "room-name" ? "room-error" : "signin-error");
  if (words || field.ariaInvalid === "true") error.textContent = words;
  field.ariaInvalid = words ? "true" : null;
  if (words) field.focus();
}

function showDraft() {
  $("text").value = readText(`draft.${TAB}.${current.name}`, "");
  grow();
}

function keepDraft() {
  if (current) keep(`draft.${TAB}.${current.name}`, $("text").value || undefined);
}

/** Lets go of all that whoever comes next may not find, here and in what is kept. */
function letGo() {
  // What was said waits for the one who said it, in whichever tab.
  for (const text of waiting) text.by ??= me;
  keepWaiting();
  const next = keptToken();
  const gone = next === undefined || next === token;
  for (const key of keys()) {
    if (key.startsWith("waiting.")) keep(key, readList(key, isText).map((text) => ({ ...text, by: text.by ?? me })));
    else if (key.startsWith(`draft.${TAB}.`) || key.startsWith(directKey("")) || gone && /^(direct\.|draft\.|places$|current$|own$)/.test(key)) keep(key);
  }
  $("text").value = "";
  own = undefined;
  signedOut("");
  received.clear();
  places.clear();
  current = undefined;
  listed = [];
  searched = undefined;
  for (const id of ["messages", "waiting", "results", "users", "directs"]) $(id).replaceChildren();
  $("search").value = $("search-status").textContent = $("count").textContent = "";
  $("ask").close();
  for (const alert of alerts) alert.close();
  document.title = "Talk";
}

function signedOut(words = say("expired")) {
  socket?.close();
  socket = undefined;
  over();
  clearTimeout(retryTimer);
  // Another tab may have signed in meanwhile.
  if (keptToken() === token) keep("token");
  token = undefined;
  connected = false;
  tries = 0;
  banner();
  face("signin");
  $("signin-error").textContent = words;
}

function face(which) {
  $("signin").hidden = which !== "signin";
  $("chat").hidden = which !== "chat";
  if (which === "signin") {
    $("nickname").value = me;
    $("nickname").focus();
  }
}

function start() {
  face("chat");
  $("me").textContent = me;
  for (const name of new Set(["global", ...readList("places", isPlace)])) place(name);
  const last = readText("current", "global");
  show(places.has(last) ? last : "global");
  connect();
  $("text").focus();
}

/** Whether whoever is asked in a dialog says yes. */
function agrees(id) {
  const dialog = $(id);
  dialog.returnValue = "";
  dialog.showModal();
  // A close is told of later: where the dialog is open again by then, it is that of the question before.
  return new Promise((resolve) => {
    dialog.onclose = () => dialog.open || resolve(dialog.returnValue === "yes");
  });
}

/** Signs in to the account that there is, or to one that is made if that is wanted: a name is easily misspelt. */
async function signInTo(nickname, secret) {
  try {
    return await signIn(nickname, secret, "known");
  } catch (error) {
    if (error.status !== 404) throw error;
    $("make-words").textContent = say("makeWords", nickname);
    return await agrees("make") ? signIn(nickname, secret) : undefined;
  }
}

function wire() {
  let signing = false;
  $("signin-form").onsubmit = async (event) => {
    event.preventDefault();
    if (signing) return;
    $("signin-error").textContent = "";
    const nickname = $("nickname").value.trim();
    const secret = $("secret").value;
    if (!NAME.test(nickname)) return wrong("nickname", say("badName"));
    if (secret && secret.length < 8) return wrong("secret", say("shortSecret"));
    signing = true;
    try {
      await alone(giveBack, AbortSignal.timeout(10_000));
      const given = await (secret ? signInTo(nickname, secret) : signIn(nickname));
      if (!given) {
        $("nickname").focus();
        return $("nickname").select();
      }
      token = given;
    } catch (error) {
      $("signin-error").textContent = error.status === undefined ? say("noServer") : known(error.message);
      // Whose name it is can come in with its secret.
      if (/already taken/.test(error.message)) $("account").open = true;
      return;
    } finally {
      signing = false;
    }
    if (me !== nickname) {
      own = undefined;
      keep("own");
      places.clear();
      received.clear();
    }
    me = nickname;
    $("secret").value = "";
    keep("token", token);
    keep("nickname", me);
    start();
  };
  $("banner-now").onclick = connect;
  let asked;
  $("say").onsubmit = (event) => {
    event.preventDefault();
    const text = $("text");
    if (!text.value.trim()) return;
    toPresent();
    if (new TextEncoder().encode(text.value).length > LONGEST) return note(current, say("longText"));
    // What was meant for the program and not for people is not said before that was asked.
    const command = /^\/[\p{L}?]\S*/u.exec(text.value)?.[0];
    if (command && asked !== text.value) {
      asked = text.value;
      return note(current, say("slash", command));
    }
    speak(text.value);
    text.value = "";
    keepDraft();
    grow();
    toEnd();
  };
  $("text").onkeydown = (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      $("say").requestSubmit();
    }
    // The messages, unless the text is longer than its field.
    if (/^Page(Up|Down)$/.test(event.key) && !event.shiftKey && $("text").scrollHeight <= $("text").clientHeight) {
      event.preventDefault();
      $("log").scrollBy({ top: $("log").clientHeight * (event.key === "PageUp" ? -0.9 : 0.9) });
    }
  };
  let typed = 0;
  $("text").oninput = () => {
    grow();
    keepDraft();
    if (!current.direct && current.inside && current.users.has(me) && Date.now() - typed > 3000 && $("text").value) {
      typed = Date.now();
      send("typing", { room: current.name });
    }
  };
  $("room-form").onsubmit = (event) => {
    event.preventDefault();
    const name = $("room-name").value.trim();
    if (!name) return;
    const good = NAME.test(name) || places.has(name) || listed.some((room) => room.name === name);
    wrong("room-name", good ? "" : say("badName"));
    if (!good) return;
    $("room-name").value = "";
    place(name).asked = true;
    show(name);
    open("places", false);
    $("text").focus();
  };
  for (const id of ["nickname", "secret", "room-name"]) $(id).addEventListener("input", () => wrong(id, ""));
  $("direct-form").onsubmit = (event) => {
    event.preventDefault();
    const name = $("direct-name").value.trim().replace(/^@/, "");
    if (!name) return;
    $("direct-name").value = "";
    show(`@${name}`);
    open("places", false);
    $("text").focus();
  };
  $("search-form").onsubmit = (event) => {
    event.preventDefault();
    const text = $("search").value.trim();
    if (!text || !current) return;
    $("results").replaceChildren();
    $("search-more").hidden = true;
    searched = undefined;
    if (current.direct) return searchHere(text);
    searched = { room: current.name, text, found: 0, rounds: 0, before: undefined, asked: false };
    $("search-status").textContent = say("searching");
    searchOn();
  };
  $("search-more").onclick = searchOn;
  $("leave").onclick = () => {
    const it = current;
    if (it.name === "global") return;
    if (!it.direct) send("leave", { room: it.name });
    places.delete(it.name);
    received.delete(it.name);
    entering.delete(it.name);
    keepPlaces(it.name);
    show("global");
    $("text").focus();
  };
  $("more").onclick = () => load(current);
  $("present").onclick = () => {
    toPresent();
    $("text").focus();
  };
  $("down").onclick = () => {
    toEnd();
    $("text").focus();
  };
  let shape;
  const shapeNow = () => `${$("log").clientWidth} ${$("log").clientHeight}`;
  const sizes = new ResizeObserver(() => {
    shape = shapeNow();
    if (pinned) toEnd();
  });
  for (const id of ["log", "messages", "waiting"]) sizes.observe($(id));
  let wide;
  new ResizeObserver(([{ contentRect }]) => {
    if (contentRect.width !== wide) grow();
    wide = contentRect.width;
  }).observe($("text"));
  $("log").onscroll = () => {
    // When the window changes its shape, nobody has scrolled.
    if (pinned && shape !== shapeNow()) toEnd();
    pinned = !current?.past && atEnd();
    $("down").hidden = pinned || Boolean(current?.past);
    reach();
  };
  $("signout").onclick = async () => {
    const kept = keys().some((key) => key.startsWith("direct.") && readList(key, isDirect).length > 0);
    if (kept && !await agrees("ask")) return;
    left.add(token);
    const told = giveBack();
    // Whoever signs in, in another tab too, waits for it.
    alone(() => told);
    keep("out", unique());
    letGo();
  };
  $("theme").value = theme() ?? "system";
  $("theme").onchange = () => {
    keep("theme", $("theme").value === "system" ? undefined : $("theme").value);
    if (theme()) document.documentElement.dataset.theme = theme();
    else delete document.documentElement.dataset.theme;
  };
  $("notify").onclick = async () => {
    const on = !notifies() && "Notification" in window && await Notification.requestPermission() === "granted";
    if (current && !on && !notifies()) note(current, say("notifyDenied"));
    keep("notify", on);
    $("notify").setAttribute("aria-pressed", String(on));
  };
  $("notify").setAttribute("aria-pressed", String(notifies()));
  for (const button of document.querySelectorAll("[data-open]")) button.onclick = () => open(button.dataset.open, !isOpen(button.dataset.open));
  for (const button of document.querySelectorAll("[data-close]")) {
    button.onclick = () => {
      open(button.dataset.close, false);
      $("text").focus();
    };
  }
  document.addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]")) return;
    if (event.key === "Escape") {
      const panels = ["places", "people", "found"].filter(isOpen);
      for (const id of panels) open(id, false);
      if (panels.length === 0) toPresent();
      if (!$("chat").hidden) $("text").focus();
    } else if (event.altKey && (event.key === "ArrowUp" || event.key === "ArrowDown") && !$("chat").hidden) {
      event.preventDefault();
      const names = [...places.values()].sort((a, b) => a.direct - b.direct).map((it) => it.name);
      const next = (names.indexOf(current.name) + (event.key === "ArrowDown" ? 1 : names.length - 1)) % names.length;
      show(names[next]);
    }
  });
  $("places").addEventListener("focusin", (event) => {
    if (!$("places").contains(event.relatedTarget)) askRooms();
  });
  $("places").onpointerenter = askRooms;
  $("places").onpointermove = () => {
    if (Date.now() - askRooms.at > 2000) askRooms();
  };
  for (const width of [narrow, tight]) width.onchange = cover;
  // What a panel lies over takes no clicks; they come here.
  $("chat").onclick = (event) => {
    if (event.target === $("chat")) for (const id of ["people", "found"]) if (isOpen(id)) open(id, false);
  };
  document.addEventListener("visibilitychange", seen);
  window.addEventListener("focus", seen);
  // What another tab of this user says and hears directly; and that they signed out there.
  window.addEventListener("storage", ({ key, newValue }) => {
    if (key === "talk.out" && newValue && places.size > 0) return letGo();
    if (key === "talk.token" && newValue) $("make").close();
    const before = `talk.${directKey("")}`;
    if (!newValue || !key?.startsWith(before) || $("chat").hidden) return;
    learnDirects(place(key.slice(before.length)));
    showPlaces();
  });
  window.addEventListener("online", () => {
    if (online) probe();
    else if (token && !$("chat").hidden) connect();
  });
  window.addEventListener("offline", () => {
    if (online) giveUp();
  });
  window.addEventListener("pagehide", keepDraft);
}

/** Direct messages are looked for in what this page keeps. */
function searchHere(text) {
  const wanted = terms(text.toLowerCase());
  const found = current.messages.filter(({ body }) => body !== undefined && wanted.every((term) => body.toLowerCase().includes(term))).reverse();
  $("results").append(...found.slice(0, 100).map((message) => finding(message, text, () => point(message.element))));
  $("search-status").textContent = found.length ? say("foundSome", found.length) : say("nothing");
}

/** A nickname, or a room that can be made. */
const NAME = /^[A-Za-z_][A-Za-z0-9_-]{1,63}$/;
/** A room that there can be. */
const ROOM = /^[A-Za-z0-9_.-]{1,64}$/;
/** Elements of the log that are drawn or passed over together. */
const CHUNK = 50;
/** Bytes of a text. */
const LONGEST = 16 * 1024;
/** Messages that are asked for at once. */
const PAGE = 100;
/** How far back, by places, what is found is scrolled to; beyond, only what is around it is shown. */
const NEAR = 1000;
/** Messages that are held of a part of the past. */
const MOST_PAST = 1000;
/** Messages of the conversation that is shown that a page holds while nobody scrolls back. */
const MOST_MESSAGES = 20_000;
/** Direct messages with somebody that a browser keeps. */
const MOST_DIRECTS = 200;
/** Rooms that are listed beside one's own. */
const MOST_LISTED = 50;
/** People who are listed. */
const MOST_USERS = 500;
/** Characters of a direct conversation that are kept beyond the page, about. */
const MOST_KEPT = 65_536;
/** Commands that go out at once, and how many follow in each millisecond: fewer than a server takes. */
const BURST = 40;
const PACE = 16 / 1000;
/** How long a server knows ids for sure, and a little less. */
const REMEMBERED = 110_000;

if (theme()) document.documentElement.dataset.theme = theme();
translate();
wire();
adopt();
if (token && me) start();
else face("signin");
