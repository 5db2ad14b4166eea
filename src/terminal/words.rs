//! What the client says to people, in their language.

use std::fmt::Display;

use super::settings::Environment;

/// A language that the client speaks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Language {
    #[default]
    English,
    Russian,
}

impl Language {
    /// A language by its name (`ru`), or by a locale's (`ru_RU.UTF-8`).
    ///
    /// # Errors
    /// What would be right.
    pub(super) fn named(name: &str) -> Result<Self, &'static str> {
        match name.split(['_', '-', '.', '@']).next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "en" | "c" | "posix" => Ok(Self::English),
            "ru" => Ok(Self::Russian),
            _ => Err("a language is en or ru"),
        }
    }

    /// The language of the first of its own variable and the usual ones that is set.
    pub(super) fn of(environment: &Environment) -> Self {
        let set = |name: &&str| environment.get(*name).filter(|value| !value.is_empty());
        let locale = ["TALK_LANG", "LC_ALL", "LC_MESSAGES", "LANG"].iter().find_map(set);
        locale.and_then(|locale| Self::named(locale.to_str()?).ok()).unwrap_or_default()
    }

    /// The language of the help: that of `--lang`, wherever it stands, else that of the environment.
    pub(super) fn asked(arguments: &[String], environment: &Environment) -> Self {
        let given = arguments.iter().enumerate().find_map(|(at, argument)| match argument.strip_prefix("--lang") {
            Some("") => arguments.get(at + 1).map(String::as_str),
            Some(value) => value.strip_prefix('='),
            None => None,
        });
        given.and_then(|given| Self::named(given).ok()).unwrap_or_else(|| Self::of(environment))
    }

    /// A text in this language, its places filled in.
    pub(super) fn say(self, word: Word, places: &[&dyn Display]) -> String {
        let mut rest = self.text(word);
        let mut said = String::new();
        while let Some((before, behind)) = rest.split_once('{') {
            said.push_str(before);
            let (place, behind) = behind.split_once('}').unwrap_or((behind, ""));
            if let Some(value) = place.parse::<usize>().ok().and_then(|place| places.get(place)) {
                said.push_str(&value.to_string());
            }
            rest = behind;
        }
        said.push_str(rest);
        said
    }

    /// A text that is repeated, between the quotes of this language.
    pub(super) fn quoted(self, text: impl Display) -> String {
        match self {
            Self::English => format!("\u{201c}{text}\u{201d}"),
            Self::Russian => format!("\u{ab}{text}\u{bb}"),
        }
    }

    /// A text in this language, without places.
    pub(super) fn text(self, word: Word) -> &'static str {
        let [english, russian] = word.texts();
        match self {
            Self::English => english,
            Self::Russian => russian,
        }
    }
}

macro_rules! words {
    ($($word:ident: $english:literal, $russian:literal;)*) => {
        /// Something that the client says.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub(super) enum Word {
            $($word,)*
        }

        impl Word {
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$word,)*];

            fn texts(self) -> [&'static str; 2] {
                match self {
                    $(Self::$word => [$english, $russian],)*
                }
            }
        }
    };
}

words! {
    // What is asked for at first.
    AskUsername: "Enter your username", "Введите ваше имя";
    AskPeer: "Enter destination username", "Введите имя собеседника";
    AskName: "Username:", "Имя:";
    AskSecret: "secret of {0}: ", "секрет для {0}: ";
    TerminalFails: "the terminal: {0}", "терминал: {0}";
    BadSecret: "a secret has {0} to {1} characters", "в секрете от {0} до {1} знаков";
    // The prompt.
    PromptTo: "to {0}> ", "для {0}> ";
    Offline: "offline", "нет связи";
    // What was typed, and is no line.
    NoInput: "cannot read the input: {0}", "ввод не читается: {0}";
    LongLine: "a line has more than {0} bytes", "в строке больше {0} байт";
    NoText: "a line is not UTF-8", "строка не в UTF-8";
    // How the connection is.
    Connecting: "connecting; :help shows the commands", "соединяюсь; команды покажет :help";
    Connected: "connected", "соединение есть";
    ConnectedAs: "connected as {0}", "соединение есть, вы {0}";
    Again: "connected again", "соединение снова есть";
    AgainWhole: "connected again; nothing was missed", "соединение снова есть; ничего не пропущено";
    AgainMissed: "connected again; something may have been missed", "соединение снова есть; что-то могло быть пропущено";
    Lost: "lost the connection to {0}: {1}; trying again", "соединение с {0} потеряно: {1}; пробую снова";
    Unreached: "cannot reach {0}: {1}; trying again", "нет связи с {0}: {1}; пробую снова";
    Unable: "Unable to connect to {0} ({1}); trying again", "Не удаётся соединиться с {0} ({1}); пробую снова";
    ClosedByServer: "Connection closed by the server ({1}); trying again at {0}", "Сервер закрыл соединение ({1}); снова пробую {0}";
    Account: "signed in as {0}", "вход выполнен: {0}";
    NotLetIn: "not let in: {0}", "не пускают: {0}";
    NameTaken: "the name {0} is taken; take another with --nick, or sign in with --account if it is yours", "имя {0} занято; возьмите другое через --nick или, если оно ваше, войдите с --account";
    TryingAgain: "{0}; trying again", "{0}; пробую снова";
    StatusTaken: "the name {0} is taken; the next try is in {1} s", "имя {0} занято; следующая попытка через {1} с";
    EndedLost: "lost the connection to {0}: {1}", "соединение с {0} потеряно: {1}";
    EndedUnreached: "cannot reach {0}: {1}", "нет связи с {0}: {1}";
    NeverSent: "never sent: {0} of your messages", "не отправлено ваших сообщений: {0}";
    Unsettled: "nobody knows what became of {0} of your messages", "неизвестно, что стало с вашими сообщениями: {0}";
    UnsettledKept: "{0} of your messages wait for the next start", "ваши сообщения ждут следующего запуска: {0}";
    Waiting: "waiting for {0} of your messages; Ctrl-C leaves at once", "жду отправки ваших сообщений ({0}); Ctrl-C завершает сразу";
    NothingKept: "nothing can be kept for the next start: {0}", "для следующего запуска ничего не сохраняется: {0}";
    NicknameInUse: "another talk-client runs under this nickname; nothing is kept for the next start", "под этим именем уже работает другой talk-client; для следующего запуска ничего не сохраняется";
    NoHome: "there is no home directory; set TALK_DATA", "нет домашнего каталога; задайте TALK_DATA";
    NoPairNick: "{0} is no nickname here: 3 to 20 characters, the first a letter, none of {1}, not reserved", "{0} здесь именем быть не может: от 3 до 20 знаков, первой буква, без {1}, и не служебное";
    NoPairPeer: "{0} is nobody's name, and no room's", "{0} не может быть именем человека или комнаты";
    NoConsoleName: "{0} is no name here: one line, not empty, and not too long", "{0} здесь именем быть не может: одна строка, не пустая и не слишком длинная";
    // What is said and done.
    Direct: "direct", "лично";
    Joined: "{0} joined", "{0} теперь здесь";
    Left: "{0} left", "{0} больше не здесь";
    Renamed: "{0} is called {1} now", "{0} теперь зовётся {1}";
    Users: "{0} here: {1}", "здесь {0}: {1}";
    UserCount: "{0} here", "здесь {0}";
    UsersIn: "{0} in {2}: {1}", "в {2} {0}: {1}";
    Rooms: "rooms: {0}", "комнаты: {0}";
    NoRooms: "there are no rooms", "комнат нет";
    Gap: "up to {0} messages of {1} are no longer kept", "сообщения комнаты {1} больше не хранятся, до {0} штук";
    Found: "{0} found in {1} with {2}", "найдено {0} в {1} со словом {2}";
    FoundNewest: "the {0} newest found in {1} with {2}", "найдено самых новых: {0} в {1} со словом {2}";
    FoundOlder: "{0} older found in {1} with {2}", "найдено более старых: {0} в {1} со словом {2}";
    FoundMore: "; :more shows older ones", "; более старые покажет :more";
    NothingFound: "nothing found in {1} with {2}", "в {1} ничего не найдено со словом {2}";
    NothingOlder: "nothing older found in {1} with {2}", "в {1} со словом {2} не найдено ничего старше";
    HistoryEnd: "that is all that {0} keeps", "это всё, что хранит {0}";
    MakeRoom: "{0}; :create {1} makes it", "{0}; её создаст :create {1}";
    EnterRoom: "{0}; :enter {1} goes there", "{0}; войти: :enter {1}";
    NameRule: "{0}: it has 2 to 64 Latin letters, digits, _ and -, of which a letter or _ comes first", "{0}: нужно от 2 до 64 латинских букв, цифр, _ и -, сначала буква или _";
    Awaited: "{0}; what you type waits for them, and :user NAME chooses another", "{0}; что вы пишете, подождёт; :user ИМЯ выберет другого";
    ToNobody: "your texts go nowhere now; :enter ROOM or :user NAME", "ваши тексты никуда не идут; :enter КОМНАТА или :user ИМЯ";
    GoTo: "your texts go to {0}", "ваши тексты идут в {0}";
    // What becomes of own texts.
    Restored: "kept from last time: {0}", "осталось с прошлого раза: {0}";
    Queued: "queued: {0}", "в очереди: {0}";
    Sent: "sent: {0}", "отправлено: {0}";
    Accepted: "accepted: {0}", "принято: {0}";
    Delivered: "delivered to {1} of {2}: {0}", "доставлено {1} из {2}: {0}";
    Failed: "failed: {0}: {1}", "не вышло: {0}: {1}";
    // Commands.
    HelpHelp: "show this", "показать это";
    HelpExit: "sign off and leave (so do Ctrl-D and Ctrl-C)", "попрощаться и уйти (так же Ctrl-D и Ctrl-C)";
    HelpStatus: "show the connection, and what became of your last texts", "показать соединение и что стало с вашими текстами";
    HelpUpdate: "fetch and show the users", "узнать и показать, кто здесь";
    HelpUser: "what you type from now on goes to NAME", "что вы пишете дальше, идёт к ИМЯ";
    HelpMessage: "send TEXT to NAME alone; a name with spaces stands in \"quotes\"", "послать ТЕКСТ лично; имя с пробелами берётся в \"кавычки\"";
    HelpRooms: "show the rooms", "показать комнаты";
    HelpEnter: "enter a room", "войти в комнату";
    HelpCreate: "make a room and enter it", "создать комнату и войти";
    HelpLeave: "leave a room: this one, if none is named; with --tui it closes a direct conversation, too", "выйти из комнаты: из этой, если имени нет; с --tui закрывает и личный разговор";
    HelpNick: "take another nickname", "взять другое имя";
    HelpHistory: "show what was said before: 20 messages, or COUNT", "показать сказанное раньше: 20 сообщений или ЧИСЛО";
    HelpSearch: "show messages that hold TEXT: its words; boil* begins a word, \"two words\" stand together", "показать сообщения, где есть слова ТЕКСТА; кип* начинает слово, \"два слова\" стоят рядом";
    HelpMore: "show older messages of the last search", "показать более старые сообщения последнего поиска";
    NoMore: "no search has anything older to show yet; :search TEXT looks for something", "ни у одного поиска пока нет ничего старше; :search ТЕКСТ ищет";
    HelpDo: "a command of the server's own", "собственная команда сервера";
    HelpAlso: "{0} (also {1})", "{0} (или {1})";
    HelpText: "send TEXT to where texts go; ::TEXT sends a text that begins with a colon", "послать ТЕКСТ; ::ТЕКСТ пошлёт текст с двоеточием в начале";
    Name: "NAME", "ИМЯ";
    Text: "TEXT", "ТЕКСТ";
    Room: "ROOM", "КОМНАТА";
    Count: "COUNT", "ЧИСЛО";
    Command: "COMMAND", "КОМАНДА";
    Unknown: "unknown command {0}; :help shows the commands, and ::{1} sends a text that begins with a colon", "нет команды {0}; команды покажет :help, а ::{1} пошлёт текст с двоеточием в начале";
    NeedsName: "{0} needs a name, such as {0} bob", "команде {0} нужно имя: {0} bob";
    NeedsRoom: "{0} needs a room, such as {0} tea", "команде {0} нужна комната: {0} tea";
    NeedsText: "{0} needs a text behind it", "команде {0} нужен текст";
    NeedsNameAndText: "{0} needs a name and a text, such as {0} bob hello", "команде {0} нужны имя и текст: {0} bob привет";
    Surplus: "{0} takes nothing behind it", "за командой {0} ничего не следует";
    NoCount: "a count is 1 to 1000", "число бывает от 1 до 1000";
    // The status.
    StatusOffline: "no connection; the next try is in {0} s", "нет соединения; следующая попытка через {0} с";
    StatusConnecting: "no connection yet", "соединения ещё нет";
    StatusWaiting: "texts that wait: {0}", "текстов в очереди: {0}";
    // Minechat.
    ReadsAt: "reading at {0}", "читаю: {0}";
    WritesAt: "sending at {0}", "отправляю: {0}";
    AskNickname: "your nickname:", "ваше имя:";
    AskNext: "Enter goes to the chat, another nickname registers one more:", "Enter ведёт в чат, другое имя создаст ещё одну учётную запись:";
    Registered: "registered as {0}; the account is kept in {1}", "вы зарегистрированы, ваше имя {0}; учётная запись хранится в {1}";
    NotKeptAccount: "the account of {0} could not be kept: {1}", "не удалось сохранить учётную запись {0}: {1}";
    NoTyped: "the lines that are typed cannot be kept: {0}", "набранные строки не сохраняются: {0}";
    NoHistory: "the history cannot be kept: {0}", "история не сохраняется: {0}";
    NeedsNickname: "an account is needed: --token HASH, --credential-path FILE or --username NICKNAME", "нужна учётная запись: --token HASH, --credential-path FILE или --username NICKNAME";
    NoHomeForAccount: "there is no home directory; set TALK_DATA, or give --credential-path FILE", "нет домашнего каталога; задайте TALK_DATA или --credential-path FILE";
    NoAccountTold: "the server told no account", "сервер не сообщил учётную запись";
    NoFile: "it is no file", "это не файл";
    NoAccountInIt: "there is no account in it", "в нём нет учётной записи";
    HistoryInUse: "another program writes it", "его пишет другая программа";
    BadNickname: "a nickname needs at least one letter or digit", "в имени нужна хотя бы одна буква или цифра";
    NoAnswer: "no answer within {0} s{1}", "за {0} с ответа нет{1}";
    // Among peers.
    YouAre: "you are {0} at {1}; :help shows the commands", "вы {0}, адрес {1}; команды покажет :help";
    PeerAt: "you are {0} at {1}", "вы {0}, адрес {1}";
    NoSecretKept: "cannot keep a secret ({0}): after a crash your name is free only in a minute", "секрет не сохраняется ({0}): после сбоя ваше имя освободится только через минуту";
    NameInUse: "{0}: another talk-client runs as {1} on this computer; choose another with --name", "{0}: на этом компьютере под именем {1} уже работает другой talk-client; --name задаёт другое имя";
    OtherName: "{0}; choose another with --name", "{0}; --name задаёт другое имя";
    OtherPlace: "{0}; choose another place with --port or --host (--port 0 finds a free one)", "{0}; другое место задают --port и --host (--port 0 найдёт свободное)";
    PublicUrl: "{0} with --public-url", "{0}; это задаёт --public-url";
    NoRegistry: "what answers at {0} does not look like a registry ({1}: {2}); {3}", "то, что отвечает на {0}, не похоже на реестр ({1}: {2}); {3}";
    RegistryForbids: "the registry at {0} lets nobody in who calls it so; take its IP address, or let talk-server know the name by its --allow-host", "реестр {0} не пускает тех, кто зовёт его так; возьмите его IP-адрес или назовите это имя серверу: talk-server --allow-host";
    RegistryRefuses: "the registry at {0} does not take you: {1}", "реестр {0} вас не принимает: {1}";
    NoSignals: "cannot listen for signals: {0}", "сигналы не принять: {0}";
    NoUsers: "no users", "никого нет";
    OneUser: "1 user:", "1 пользователь:";
    ManyUsers: "{0} users:", "пользователей: {0}";
    You: "you", "вы";
    Chosen: "chosen", "выбран";
    NobodyChosen: "nobody is chosen; :user NAME chooses whom you write to", "никто не выбран; :user ИМЯ выбирает, кому вы пишете";
    Gone: "{0} is gone; nobody is chosen now", "{0} больше не здесь; теперь никто не выбран";
    CannotLookUp: "cannot look up {0}: {1}", "не узнать, где {0}: {1}";
    NoUser: "there is no user {0}; :update shows who is there", "нет пользователя {0}; :update покажет, кто есть";
    Unreachable: "{0} is at {1}, which nothing here can reach", "{0} по адресу {1}, туда отсюда не добраться";
    BadName: "no user can have that name: {0}", "такого имени быть не может: {0}";
    RegistryLost: "{0}; trying again{1}", "{0}; пробую ещё{1}";
    Registries: "--registry URL names another: 'registry' is at http://127.0.0.1:8088, and a talk-server has one at its port, 7000", "--registry URL называет другой: 'registry' живёт на http://127.0.0.1:8088, а у talk-server он на его порту, 7000";
    RegistryFound: "the registry answers again", "реестр снова отвечает";
    NameLost: "the registry knows somebody else as {0} now: others no longer find you", "в реестре под именем {0} теперь кто-то другой: вас больше не найти";
    ConfirmsNothing: "{0} confirms nothing: a text may be lost without a word about it", "{0} ничего не подтверждает: текст может пропасть без вести";
    NotReached: "{0} did not reach {1}: {2}", "{0} не дошло, кому: {1}; {2}";
    LastUnknown: "nobody knows whether the last {0} of your messages arrived", "неизвестно, дошли ли последние ваши сообщения: {0}";
    NoSignOff: "could not sign off ({0}); the registry forgets you within a minute", "попрощаться не вышло ({0}); реестр забудет вас за минуту";
    // What cannot be done.
    BadJson: "no command: {0}", "это не команда: {0}";
    Unsupported: "there is nothing of the kind here", "здесь такого нет";
    Full: "{0} texts wait to be sent already", "в очереди уже {0} текстов";
    Nowhere: "there is nowhere to say it: :enter ROOM, or :user NAME", "сказать это негде: :enter КОМНАТА или :user ИМЯ";
    Length: "a text has 1 to {0} bytes", "в тексте от 1 до {0} байт";
    NotKept: "the text could not be kept: {0}", "текст не удалось сохранить: {0}";
    HasEnded: "the conversation has ended", "разговор окончен";
    // The full screen.
    TooSmall: "too small", "мало места";
    NewBelow: "new", "новое";
    MoreBelow: "more", "ещё";
    CountBelow: "{0} new", "новых: {0}";
    LoadingOlder: "loading older …", "загружаю старые …";
    CountWaiting: "{0} waiting", "ждут: {0}";
    IsTyping: "{0} is writing", "пишет {0}";
    Busy: "that is more than can be taken at once; try again", "это больше, чем можно принять сразу; попробуйте ещё раз";
    TooManyOpen: "{0} conversations are open; :leave one first (nothing was sent)", "открыто разговоров: {0}; сначала закройте один через :leave (ничего не отправлено)";
    AndMore: "… and {0} more", "… и ещё {0}";
    MoreRows: "… {0} more lines", "… ещё строк: {0}";
    SlashCommand: "commands begin with a colon: {0}", "команды начинаются с двоеточия: {0}";
    LeavesAgain: "Ctrl-C again leaves; what you typed is not sent", "ещё раз Ctrl-C: выход; набранное не будет отправлено";
    MarkQueued: "queued", "в очереди";
    MarkSent: "sent", "отправлено";
    MarkFailed: "not delivered: {0}", "не доставлено: {0}";
    NotDeliveredTo: "not delivered to {0}: {1}", "не доставлено для {0}: {1}";
    MeansQueued: "your text waits to be sent", "текст ждёт отправки";
    MeansSent: "it was sent", "отправлено";
    MeansAccepted: "the server has it; with a count, so many of the others have it", "сервер его принял; с числом: у стольких из остальных он есть";
    MeansDelivered: "all whom it was for have it", "он у всех, кому предназначен";
    MeansFailed: "it was not delivered, and why", "не доставлено, и почему";
    HelpTitle: "help: PgUp and PgDn turn the page, Esc ends", "справка: PgUp и PgDn листают, Esc закрывает";
    HelpKeys: "Keys", "Клавиши";
    HelpMarks: "Marks behind your texts", "Знаки за вашими текстами";
    HelpCommands: "Commands", "Команды";
    KeyHelp: "F1 help", "F1 справка";
    KeySend: "send the text, or do the command", "послать текст или выполнить команду";
    KeyBreak: "a line break in the text", "новая строка в тексте";
    KeyRecall: "what you typed before", "что вы писали раньше";
    KeyComplete: "complete a command or a name; again for the next", "дополнить команду или имя; ещё раз: следующее";
    KeyScroll: "older and newer messages; more is fetched at the top", "сообщения старше и новее; сверху загружаются ещё";
    KeyEnds: "to the oldest, of some 10000, and the newest; Esc to the newest, too", "к самым старым, примерно из 10000, и к новым; Esc тоже к новым";
    KeyWindows: "the conversation before and behind (so do Ctrl-P, Ctrl-N)", "предыдущий и следующий разговор (так же Ctrl-P, Ctrl-N)";
    KeyNumber: "the conversation of that number", "разговор с этим номером";
    KeyUnread: "the next with unread messages", "следующий с непрочитанным";
    KeySides: "show or hide the conversations, the users", "показать или скрыть разговоры, участников";
    KeySearch: "search; // begins a text with a slash", "искать; // начинает текст с косой черты";
    KeyLineEnds: "to the start and the end of the line", "в начало и в конец строки";
    KeyWords: "a word back and on (so do Ctrl-arrows)", "на слово назад и вперёд (так же Ctrl со стрелками)";
    KeyKill: "remove the word before, behind the cursor", "удалить слово перед курсором, за ним";
    KeyKillAll: "remove all before, behind the cursor", "удалить всё перед курсором, за ним";
    KeyYank: "put in what was removed last", "вставить удалённое";
    KeyRedraw: "draw the screen again", "перерисовать экран";
    KeyStop: "stop the program; fg brings it back", "приостановить программу; fg вернёт её";
    KeyLeave: "sign off and leave; a second Ctrl-C does not wait", "попрощаться и уйти; второй Ctrl-C не ждёт";
    DeafKeys: "F1 help · / search · q leaves", "F1 справка · / поиск · q выход";
    SearchFor: "search:", "поиск:";
    SearchKeys: "Up older · Down newer · Esc", "Up старше · Down новее · Esc выход";
    SearchKeysMore: "Up older · Down newer · Ctrl-S server · Esc", "Up старше · Down новее · Ctrl-S сервер · Esc выход";
    FoundKeys: "Up Down choose · Enter goes there · Esc closes", "Up Down выбирают · Enter туда · Esc закрывает";
    FoundAbsent: "that is not loaded here yet; Esc, then Ctrl-Home loads all", "это здесь ещё не загружено; Esc, затем Ctrl-Home загрузит всё";
    Moment: "one moment …", "минуту …";
    FormGo: "go to the chat", "перейти в чат";
    FormMore: "register one more", "создать ещё одну учётную запись";
    FormEmpty: "type a name first", "сначала введите имя";
    FormKeys: "Enter goes on · Esc leaves", "Enter дальше · Esc выход";
    FormKeysChoice: "Up and Down choose · Enter goes on · Esc leaves", "Up и Down выбирают · Enter дальше · Esc выход";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_there_in_both_languages_with_the_same_places() {
        let places = |text: &str| {
            let mut places: Vec<_> =
                text.split('{').skip(1).map(|rest| rest.split_once('}').unwrap().0.to_owned()).collect();
            places.sort_unstable();
            places
        };
        for word in Word::ALL {
            let [english, russian] = word.texts();
            assert_eq!(places(english), places(russian), "{word:?}");
            let cyrillic = |c: char| ('\u{400}'..'\u{500}').contains(&c);
            assert!(!english.is_empty() && !english.contains(cyrillic), "{word:?}");
            assert!(russian.contains(cyrillic), "{word:?}");
            // Quotes that are typed are the keyboard's.
            assert!(!russian.contains(['\u{201c}', '\u{201d}']), "{word:?}");
            assert!(!places(english).iter().any(|place| place.parse::<usize>().is_err()), "{word:?}");
        }
    }

    #[test]
    fn places_are_filled_in_once() {
        let said = Language::English.say(Word::Lost, &[&"{1} {0}", &2]);
        assert_eq!(said, "lost the connection to {1} {0}: 2; trying again");
    }

    #[test]
    fn the_language_is_the_first_that_is_set() {
        let of = |variables: &[(&str, &str)]| {
            Language::of(&super::super::settings::environment(variables.iter().map(|(n, v)| (n.into(), v.into()))))
        };
        assert_eq!(of(&[]), Language::English);
        assert_eq!(of(&[("LANG", "ru_RU.UTF-8")]), Language::Russian);
        assert_eq!(of(&[("LANG", "ru_RU.UTF-8"), ("LC_ALL", "C")]), Language::English);
        assert_eq!(of(&[("LANG", "en"), ("LC_MESSAGES", "ru"), ("LC_ALL", "")]), Language::Russian);
        assert_eq!(of(&[("LANG", "de_DE.UTF-8")]), Language::English);
        assert_eq!((Language::named("RU"), Language::named("ru-RU")), (Ok(Language::Russian), Ok(Language::Russian)));
        assert!(Language::named("klingon").is_err());
    }
}
