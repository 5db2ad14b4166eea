//! The help of `talk-client` in Russian: each text of the English one beside its own.

use argh::CommandInfoWithArgs;

use super::manual;
use super::options::{WIDTH, table};

/// The help of a command in Russian. `english` is what it says in English.
pub(super) fn help(english: &str, command: &CommandInfoWithArgs) -> String {
    // Both words are as long, so that the second line stays below the first.
    let usage = english.split("\n\n").next().unwrap_or_default().replacen("Usage:", "Вызов:", 1);
    let usage = usage.replace("[OPTIONS]", "[КЛЮЧИ]").replace(" COMMAND ", " КОМАНДА ");
    let mut help = format!("{usage}\n\n{}\n\nКлючи:", said(command.description));
    let options = manual::shown(command.flags).map(|option| (option.left(), said(option.description)));
    help.push_str(&table(&options.collect::<Vec<_>>()));
    if !command.commands.is_empty() {
        help.push_str("\n\nКоманды:");
        let commands = command.commands.iter().map(|one| (format!("  {}", one.name), said(one.command.description)));
        help.push_str(&table(&commands.collect::<Vec<_>>()));
    }
    if !command.examples.is_empty() {
        help.push_str("\n\nПримеры:");
        for line in command.examples.iter().flat_map(|example| example.lines()) {
            help.push_str("\n  ");
            help.push_str(line);
        }
    }
    if !command.notes.is_empty() {
        help.push_str("\n\nПримечания:");
        for note in command.notes {
            let mut width = WIDTH;
            for word in said(note).split(' ') {
                let length = word.chars().count() + 1;
                if width + length > WIDTH {
                    help.push_str("\n ");
                    width = 1;
                }
                help.push(' ');
                help.push_str(word);
                width += length;
            }
        }
    }
    help
}

/// A text of the help in Russian; what there is not stays as it is.
fn said(english: &str) -> String {
    let english = english.split_whitespace().collect::<Vec<_>>().join(" ");
    match TEXTS.iter().find(|(text, _)| *text == english) {
        Some((_, russian)) => (*russian).to_owned(),
        None => english,
    }
}

const TEXTS: &[(&str, &str)] = &[
    // The full screen.
    ("show a full screen; F1 shows its keys", "показать полный экран; его клавиши покажет F1"),
    (
        "show a full screen; F1 shows its keys (default on a terminal)",
        "показать полный экран; его клавиши покажет F1 (в терминале и так)",
    ),
    (
        "show a full screen, on which one thing after another is said; F1 shows its keys",
        "показать полный экран, чтобы говорить одно за другим; его клавиши покажет F1",
    ),
    ("show lines, also on a terminal", "показывать строки и в терминале"),
    (
        "its colours: dark, light or plain (default: TALK_THEME, else what fits the terminal)",
        "его цвета: dark, light или plain (по умолчанию TALK_THEME, иначе те, что подходят терминалу)",
    ),
    (
        "the colours of the full screen: dark, light or plain (default: TALK_THEME, else what fits the terminal)",
        "цвета полного экрана: dark, light или plain (по умолчанию TALK_THEME, иначе те, что подходят терминалу)",
    ),
    // What each command is for.
    ("Talk to other users from the terminal.", "Разговор с другими людьми из терминала."),
    ("Take part in the rooms of a talk-server.", "Участие в комнатах сервера talk-server."),
    ("Take part in pair chat: texts to one user, or to a room.", "Парный чат: тексты одному человеку или в комнату."),
    ("Take part in console chat.", "Участие в консольном чате."),
    (
        "Hear a minechat: each message is a line on stdout, and in the history file.",
        "Слушать minechat: каждое сообщение идёт строкой в stdout и в файл истории.",
    ),
    ("Say one thing in a minechat.", "Сказать одно сообщение в minechat."),
    (
        "Make an account in a minechat, and go there or make another.",
        "Создать учётную запись в minechat и войти туда или создать ещё одну.",
    ),
    ("Take part in a minechat.", "Участие в minechat."),
    // Options of more than one.
    ("print this", "показать эту справку"),
    ("print completions for a shell: bash, zsh or fish", "вывести автодополнения для оболочки: bash, zsh или fish"),
    ("print the man page", "вывести страницу руководства"),
    ("print the version", "вывести версию"),
    (
        "print each event as a JSON object, and take commands as such",
        "выводить каждое событие объектом JSON и так же принимать команды",
    ),
    ("print each event as a JSON object", "выводить каждое событие объектом JSON"),
    ("print each message as a JSON object", "выводить каждое сообщение объектом JSON"),
    (
        "the language: en or ru (default: TALK_LANG, else that of the environment)",
        "язык: en или ru (по умолчанию TALK_LANG, иначе язык окружения)",
    ),
    ("read settings from this file, which must exist", "читать настройки из этого файла, он должен существовать"),
    (
        "end when the connection is lost, or cannot be made",
        "закончить, когда соединения больше нет или его не установить",
    ),
    (
        "sign in with the secret in this file, which nobody else may be able to read",
        "войти с секретом из этого файла, который не может читать никто другой",
    ),
    // Among peers.
    (
        "your name, at most 64 letters, digits, '_', '.' and '-' (required)",
        "ваше имя, не больше 64 латинских букв, цифр, '_', '.' и '-' (обязательно)",
    ),
    (
        "the registry where users find each other (default http://127.0.0.1:8088)",
        "реестр, в котором люди находят друг друга (по умолчанию http://127.0.0.1:8088)",
    ),
    ("the address to listen on (default 127.0.0.1)", "адрес, на котором принимать сообщения (по умолчанию 127.0.0.1)"),
    (
        "the port to listen on; 0 lets the system choose (default 8080)",
        "порт, на котором принимать сообщения; при 0 его выбирает система (по умолчанию 8080)",
    ),
    (
        "how others send to you: http, udp or websocket (default http)",
        "как вам пишут другие: http, udp или websocket (по умолчанию http)",
    ),
    (
        "the URL by which others reach you, when it is not host and port; only the host and the port in it count, and \
         without a port the scheme's default (default none)",
        "URL, по которому вас находят другие, если это не host и port; в нём важны только узел и порт, а без порта \
         порт схемы (по умолчанию нет)",
    ),
    ("Type :help for the commands.", "Команды покажет :help."),
    (
        "What has a value may also come from the environment: TALK_NAME, TALK_REGISTRY, TALK_HOST, TALK_PORT, \
         TALK_PROTOCOL and TALK_PUBLIC_URL, or else, under the same names (name = \"ann\"), from the file talk/client.toml in \
         the platform's configuration directory; and TALK_CONFIG, TALK_THEME and TALK_LANG, for which the file has no names. \
         What has none, as --tui, is to be typed. TALK_DATA names a directory for data, instead of the platform's; RUST_LOG \
         says what is logged to stderr; NO_COLOR=1 switches colours off.",
        "То, у чего есть значение, можно задать и в окружении: TALK_NAME, TALK_REGISTRY, TALK_HOST, TALK_PORT, TALK_PROTOCOL \
         и TALK_PUBLIC_URL, иначе под теми же именами (name = \"ann\") в файле talk/client.toml в каталоге настроек системы; \
         и TALK_CONFIG, TALK_THEME и TALK_LANG, для которых в файле имён нет. То, у чего значения нет, как --tui, \
         набирается. TALK_DATA называет каталог для данных вместо системного; RUST_LOG говорит, что писать в журнал на \
         stderr; NO_COLOR=1 убирает цвета.",
    ),
    // Rooms.
    ("the server (default http://127.0.0.1:7000)", "сервер (по умолчанию http://127.0.0.1:7000)"),
    ("your nickname there (required)", "ваше имя там (обязательно)"),
    (
        "the room to enter; repeat it for more, of which texts go to the last (default: those of last time, else global)",
        "комната, в которую войти; можно повторить, тогда тексты идут в последнюю (по умолчанию комнаты прошлого раза, \
         иначе global)",
    ),
    (
        "sign in to the account of your nickname, which is made if that is free; its secret is asked for",
        "войти в учётную запись вашего имени, она создаётся, если имя свободно; секрет будет спрошен",
    ),
    (
        "how many messages from before are shown at first (default 20 on a terminal, else 0)",
        "сколько прежних сообщений показать вначале (по умолчанию 20 в терминале, иначе 0)",
    ),
    ("keep nothing for the next start", "ничего не сохранять для следующего запуска"),
    (
        "Type :help for the commands. What was typed and not accepted by the server waits for the next start; so does the \
         place up to which a room was read.",
        "Команды покажет :help. Что набрано и не принято сервером, ждёт следующего запуска; так же и место, до которого \
         прочитана комната.",
    ),
    (
        "What has a value may also come from the environment: TALK_SERVER, TALK_NICK, TALK_ROOM, TALK_SECRET_FILE and \
         TALK_HISTORY, or else, under the same names (nick = \"ann\"), from the file talk/client.toml in the platform's \
         configuration directory; and TALK_CONFIG, TALK_THEME and TALK_LANG, for which the file has no names.",
        "То, у чего есть значение, можно задать и в окружении: TALK_SERVER, TALK_NICK, TALK_ROOM, TALK_SECRET_FILE и \
         TALK_HISTORY, иначе под теми же именами (nick = \"ann\") в файле talk/client.toml в каталоге настроек системы; и \
         TALK_CONFIG, TALK_THEME и TALK_LANG, для которых в файле имён нет.",
    ),
    (
        "Exit codes: 0 all went well, 1 something was not done, and was told, 2 an option is wrong, 3 the server does not let \
         you in, 4 the connection was lost, and there was to be one only (--once), 130 a second Ctrl-C did not wait.",
        "Коды завершения: 0 всё удалось, 1 что-то не сделано, о чём сказано, 2 ошибка в ключах, 3 сервер вас не пускает, \
         4 соединение потеряно, а других быть не должно (--once), 130 второй Ctrl-C не стал ждать.",
    ),
    // Pair and console chat.
    ("the server's host; also --ip (default 127.0.0.1)", "узел сервера; то же, что --ip (по умолчанию 127.0.0.1)"),
    ("the server's port (default 6078)", "порт сервера (по умолчанию 6078)"),
    ("the path of its WebSocket (default /)", "путь его WebSocket (по умолчанию /)"),
    ("your nickname: 3 to 20 characters, the first a letter", "ваше имя: от 3 до 20 знаков, первой буква"),
    ("the user, or the room, to whom you write", "человек или комната, кому вы пишете"),
    (
        "What is not given is asked for: first how you are called, then whom you write to. :quit: or Ctrl-C leaves; :help \
         shows the other commands.",
        "Что не задано, будет спрошено: сначала ваше имя, потом кому вы пишете. :quit: или Ctrl-C завершает; остальные \
         команды покажет :help.",
    ),
    ("the server's host (default 127.0.0.1)", "узел сервера (по умолчанию 127.0.0.1)"),
    ("the server's port (default 9009)", "порт сервера (по умолчанию 9009)"),
    ("how you are called", "ваше имя"),
    (
        "sign in to the account of that name; its secret is asked for",
        "войти в учётную запись этого имени; секрет будет спрошен",
    ),
    (
        "How you are called is asked for, unless it is given. Commands of the server are typed as they are: \
         cmd!participants_count, cmd!current_time, cmd!start_game:rock, cmd!client_exit. Type :help for the others.",
        "Ваше имя будет спрошено, если оно не задано. Команды сервера набираются как есть: cmd!participants_count, \
         cmd!current_time, cmd!start_game:rock, cmd!client_exit. Остальные покажет :help.",
    ),
    // Minechat.
    ("the server (default 127.0.0.1)", "сервер (по умолчанию 127.0.0.1)"),
    ("its port to hear (default 5000)", "его порт, чтобы слушать (по умолчанию 5000)"),
    ("its port to speak (default 5050)", "его порт, чтобы говорить (по умолчанию 5050)"),
    (
        "the server to hear (default 127.0.0.1; -lh for short)",
        "сервер, который слушать (по умолчанию 127.0.0.1; коротко -lh)",
    ),
    ("its port to hear (default 5000; -lp for short)", "его порт, чтобы слушать (по умолчанию 5000; коротко -lp)"),
    (
        "the server to speak to (default 127.0.0.1; -wh for short)",
        "сервер, которому говорить (по умолчанию 127.0.0.1; коротко -wh)",
    ),
    ("its port to speak (default 5050; -wp for short)", "его порт, чтобы говорить (по умолчанию 5050; коротко -wp)"),
    (
        "the file to which messages are appended, with the time (default none; -hp for short)",
        "файл, в который дописываются сообщения с отметкой времени (по умолчанию нет; коротко -hp)",
    ),
    (
        "the file to which messages are appended in the chat, with the time (default none; -hp for short)",
        "файл, в который в чате дописываются сообщения с отметкой времени (по умолчанию нет; коротко -hp)",
    ),
    (
        "how many lines of the history file are shown at first (default 20 on a terminal, else 0)",
        "сколько строк файла истории показать вначале (по умолчанию 20 в терминале, иначе 0)",
    ),
    (
        "how many lines of the history file are shown in the chat at first (default 20 on a terminal, else 0)",
        "сколько строк файла истории показать в начале чата (по умолчанию 20 в терминале, иначе 0)",
    ),
    (
        "silence after which the connection counts as dead, for servers that say something now and then (default none)",
        "молчание, после которого соединение считается мёртвым, для серверов, которые время от времени что-то говорят \
         (по умолчанию нет)",
    ),
    (
        "silence of the port to hear after which its connection counts as dead (default none)",
        "молчание порта, который слушают, после которого его соединение считается мёртвым (по умолчанию нет)",
    ),
    ("say how the connection is", "говорить, что с соединением"),
    (
        "It reads no input, comes back by itself when the connection is lost, and ends by Ctrl-C or SIGTERM. It says nothing \
         of its own but errors, unless --logging is given; then news of the connection go to stderr.",
        "Команда не читает ввод, сама восстанавливает потерянное соединение и завершается по Ctrl-C или SIGTERM. От себя \
         она говорит только об ошибках, если не задано --logging; тогда новости о соединении идут на stderr.",
    ),
    (
        "Exit codes: 0 it was told to end, 1 the history could not be written, or another program writes it, 2 an option is \
         wrong, 4 the connection was lost, and there was to be one only (--once), 130 a second Ctrl-C did not wait.",
        "Коды завершения: 0 программу попросили закончить, 1 история не пишется или её пишет другая программа, 2 ошибка в ключах, \
         4 соединение потеряно, а других быть не должно (--once), 130 второй Ctrl-C не стал ждать.",
    ),
    ("what is said (required, but on a full screen)", "что сказать (обязательно, но не на полном экране)"),
    ("the hash of the account", "хеш учётной записи"),
    ("the hash of your account", "хеш вашей учётной записи"),
    (
        "the nickname in a new account, if there is none yet (default: the server chooses)",
        "имя в новой учётной записи, если её ещё нет (по умолчанию выбирает сервер)",
    ),
    ("your nickname in a new account, if there is none yet", "ваше имя в новой учётной записи, если её ещё нет"),
    ("the first nickname, which is not asked for then", "первое имя, тогда оно не будет спрошено"),
    (
        "the file in which the account is kept (default one of this program's for that server; -cp for short)",
        "файл, где хранится учётная запись (по умолчанию свой для каждого сервера; коротко -cp)",
    ),
    (
        "the file in which your account is kept (default one of this program's for that server; -cp for short)",
        "файл, где хранится ваша учётная запись (по умолчанию свой для каждого сервера; коротко -cp)",
    ),
    ("how long an answer is waited for, in seconds (default 20)", "сколько секунд ждать ответа (по умолчанию 20)"),
    ("say what is done", "говорить, что делается"),
    (
        "The account is the one of the token, else the one that is kept, else a new one, which is kept then. TALK_TOKEN may \
         hold the token, where no list of processes shows it.",
        "Учётная запись берётся по хешу, иначе та, что хранится, иначе новая, которая потом хранится. Хеш может быть в \
         TALK_TOKEN, где его не покажет список процессов.",
    ),
    (
        "The account is the one of the token, else the one that is kept, else a new one by the name of --username; on a \
         terminal the name is asked for. TALK_TOKEN may hold the token, where no list of processes shows it.",
        "Учётная запись берётся по хешу, иначе та, что хранится, иначе новая с именем из --username; в терминале имя будет \
         спрошено. Хеш может быть в TALK_TOKEN, где его не покажет список процессов.",
    ),
    (
        "It ends when the server has answered, and says nothing but errors, unless --logging is given. When the connection \
         is lost before the answer, the message is said again: others may hear it twice.",
        "Команда завершается, когда сервер ответил, и говорит только об ошибках, если не задано --logging. Когда соединение \
         потеряно до ответа, сообщение говорится снова: другие могут услышать его дважды.",
    ),
    (
        "Exit codes: 0 the server answered that it was said, 1 it was not said, or the new account could not be kept, 2 an \
         option is wrong, 3 the server does not know the token, 4 there was no connection, or no answer in time, 130 Ctrl-C ended it before.",
        "Коды завершения: 0 сервер ответил, что это сказано, 1 это не сказано или новая учётная запись не сохранена, \
         2 ошибка в ключах, 3 сервер не знает хеша, 4 не было соединения или ответа вовремя, 130 раньше прервал Ctrl-C.",
    ),
    (
        "It asks for a nickname; the server may choose another that is like it. Then Enter goes to the chat, a nickname makes \
         one more account, and the end of the input ends the program. An account that was in the file before is appended to \
         the file of the same name with .old behind it.",
        "Команда спрашивает имя; сервер может выбрать другое, похожее. Потом Enter ведёт в чат, имя создаёт ещё одну учётную \
         запись, а конец ввода завершает программу. Учётная запись, которая была в файле, дописывается в файл с тем же \
         именем и .old в конце.",
    ),
    (
        "Exit codes: 0 all went well, 1 something did not, and was told, 2 an option is wrong, 130 a second Ctrl-C did not wait.",
        "Коды завершения: 0 всё удалось, 1 что-то не удалось, о чём сказано, 2 ошибка в ключах, 130 второй Ctrl-C не стал ждать.",
    ),
    (
        "Exit codes: 0 all went well, 1 something did not, and was told, 2 an option is wrong, 3 the server does not know the \
         token, 4 the connection was lost, and there was to be one only (--once), 130 a second Ctrl-C did not wait.",
        "Коды завершения: 0 всё удалось, 1 что-то не удалось, о чём сказано, 2 ошибка в ключах, 3 сервер не знает хеша, \
         4 соединение потеряно, а других быть не должно (--once), 130 второй Ctrl-C не стал ждать.",
    ),
];

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Every text of this help, and of those of its commands, is there in Russian; and there are no others.
    pub(in crate::terminal) fn is_whole(program: &CommandInfoWithArgs) {
        let all = || [program].into_iter().chain(program.commands.iter().map(|one| &one.command));
        let mut texts: Vec<String> = Vec::new();
        for command in all() {
            let options = manual::shown(command.flags).map(|option| option.description);
            for text in options.chain([command.description]).chain(command.notes.iter().copied()) {
                let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
                assert!(TEXTS.iter().any(|(english, _)| *english == text), "not in Russian: {text}");
                texts.push(text);
            }
        }
        for (english, russian) in TEXTS {
            assert!(texts.iter().any(|text| text == english), "said no more: {english}");
            assert!(russian.contains(|c| ('\u{400}'..'\u{500}').contains(&c)), "{russian}");
            // What is typed is the same in both.
            let typed = |text: &str| {
                let words = text.split(|c: char| c.is_whitespace() || ",;()".contains(c)).map(str::to_owned);
                let mut typed: Vec<_> = words.filter(|word| word.starts_with(['-', ':']) && word.len() > 1).collect();
                typed.iter_mut().for_each(|word| word.truncate(word.trim_end_matches(['.', ':']).len()));
                typed.sort_unstable();
                typed
            };
            assert_eq!(typed(english), typed(russian), "{english}");
        }
    }
}
