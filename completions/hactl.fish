# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_hactl_global_optspecs
    string join \n workspace= output= yes h/help V/version
end

function __fish_hactl_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_hactl_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_hactl_using_subcommand
    set -l cmd (__fish_hactl_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c hactl -n "__fish_hactl_needs_command" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_needs_command" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_needs_command" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hactl -n "__fish_hactl_needs_command" -s V -l version -d 'Print version'
complete -c hactl -n "__fish_hactl_needs_command" -f -a "init" -d 'Make a workspace: ask what it needs, try it out, write a commented hactl.toml'
complete -c hactl -n "__fish_hactl_needs_command" -f -a "check" -d 'Load and check the workspace and its runbook, offline; shows every problem at once'
complete -c hactl -n "__fish_hactl_needs_command" -f -a "doctor" -d 'Examine every host, the bucket, PostgreSQL and the secrets; changes nothing'
complete -c hactl -n "__fish_hactl_needs_command" -f -a "plan" -d 'Look at the servers and show, step by step, what would happen'
complete -c hactl -n "__fish_hactl_needs_command" -f -a "phase" -d 'Look at a phase, carry it out, verify it again, or take it back'
complete -c hactl -n "__fish_hactl_needs_command" -f -a "resume" -d 'Go on after an interruption, a failure or a refused gate'
complete -c hactl -n "__fish_hactl_needs_command" -f -a "approve" -d 'Answer a step\'s gate ahead of its run'
complete -c hactl -n "__fish_hactl_needs_command" -f -a "status" -d 'Show where the run stands, what is proven, and what to type next'
complete -c hactl -n "__fish_hactl_needs_command" -f -a "proof" -d 'Show what was proven, how strongly, and until when it counts'
complete -c hactl -n "__fish_hactl_needs_command" -f -a "report" -d 'Write down what a run was: one Markdown file, one HTML page'
complete -c hactl -n "__fish_hactl_needs_command" -f -a "journal" -d 'Show what happened, or check that the journal is whole'
complete -c hactl -n "__fish_hactl_needs_command" -f -a "host" -d 'Pin the key of a host'
complete -c hactl -n "__fish_hactl_needs_command" -f -a "runbook" -d 'List, print or eject the bundled runbooks'
complete -c hactl -n "__fish_hactl_needs_command" -f -a "lab" -d 'Make, look at, disturb and take away a sealed lab of real machines'
complete -c hactl -n "__fish_hactl_needs_command" -f -a "rehearse" -d 'Rehearse a runbook on real machines in a sealed lab'
complete -c hactl -n "__fish_hactl_needs_command" -f -a "kinds" -d 'List the step kinds and probes that a runbook can be written with'
complete -c hactl -n "__fish_hactl_needs_command" -f -a "explain" -d 'Tell what an error code means'
complete -c hactl -n "__fish_hactl_needs_command" -f -a "schema" -d 'Print the JSON schema of what `--output json` prints'
complete -c hactl -n "__fish_hactl_needs_command" -f -a "completions" -d 'Print the completions for a shell'
complete -c hactl -n "__fish_hactl_needs_command" -f -a "man" -d 'Write the manual pages'
complete -c hactl -n "__fish_hactl_using_subcommand init" -l runbook -d 'A bundled runbook, or the path of one of your own, from the workspace\'s folder' -r
complete -c hactl -n "__fish_hactl_using_subcommand init" -l fleet -d 'The fleet\'s name, written on each host that is changed' -r
complete -c hactl -n "__fish_hactl_using_subcommand init" -l user -d 'Who logs in to every host; any other than root needs sudo without a password' -r
complete -c hactl -n "__fish_hactl_using_subcommand init" -l identity -d 'The key that logs in, from the workspace\'s folder, or `make`' -r
complete -c hactl -n "__fish_hactl_using_subcommand init" -l host -d 'A server. May be given more than once' -r
complete -c hactl -n "__fish_hactl_using_subcommand init" -l role -d 'The hosts of a role of the runbook. May be given more than once' -r
complete -c hactl -n "__fish_hactl_using_subcommand init" -l jump -d 'The host through which a host is reached. May be given more than once' -r
complete -c hactl -n "__fish_hactl_using_subcommand init" -l fingerprint -d 'Pin this host\'s key without asking, if it has this fingerprint. May be given more than once' -r
complete -c hactl -n "__fish_hactl_using_subcommand init" -l input -d 'A value of the runbook\'s inputs. May be given more than once' -r
complete -c hactl -n "__fish_hactl_using_subcommand init" -l postgres-version -d 'PostgreSQL\'s major version [default: what is found]' -r
complete -c hactl -n "__fish_hactl_using_subcommand init" -l postgres-cluster -d 'Debian\'s name of PostgreSQL\'s cluster [default: what is found]' -r
complete -c hactl -n "__fish_hactl_using_subcommand init" -l s3-endpoint -d 'Where the object storage answers' -r
complete -c hactl -n "__fish_hactl_using_subcommand init" -l s3-region -d 'Its region' -r
complete -c hactl -n "__fish_hactl_using_subcommand init" -l s3-bucket -d 'The bucket for backups; it need not exist yet where the runbook makes it' -r
complete -c hactl -n "__fish_hactl_using_subcommand init" -l s3-ca -d 'The only certificate authority to trust for it, from the workspace\'s folder' -r
complete -c hactl -n "__fish_hactl_using_subcommand init" -l s3-access-key -d 'The key that writes backups' -r
complete -c hactl -n "__fish_hactl_using_subcommand init" -l s3-secret-key -d 'Its secret' -r
complete -c hactl -n "__fish_hactl_using_subcommand init" -l s3-restore-access-key -d 'The key that only reads' -r
complete -c hactl -n "__fish_hactl_using_subcommand init" -l s3-restore-secret-key -d 'Its secret' -r
complete -c hactl -n "__fish_hactl_using_subcommand init" -l mirror -d 'Where the run is kept a second time, on that object storage; its bucket is made where it is missing [default: nowhere]' -r
complete -c hactl -n "__fish_hactl_using_subcommand init" -l hcloud-token -d 'A token of the project in the Hetzner Cloud, which may read and write [default: what needs it is to be added later]' -r
complete -c hactl -n "__fish_hactl_using_subcommand init" -l hcloud-endpoint -d 'Where its API is [default: the provider\'s own]' -r
complete -c hactl -n "__fish_hactl_using_subcommand init" -l hcloud-ca -d 'The only certificate authority to trust for it, from the workspace\'s folder' -r
complete -c hactl -n "__fish_hactl_using_subcommand init" -l cipher-pass -d 'The pass phrase of pgBackRest\'s repository, or `make`' -r
complete -c hactl -n "__fish_hactl_using_subcommand init" -l age-recipient -d 'A public key of age to encrypt to. May be given more than once' -r
complete -c hactl -n "__fish_hactl_using_subcommand init" -l age-identity -d 'The age identity that decrypts, or `make`' -r
complete -c hactl -n "__fish_hactl_using_subcommand init" -l allowed-signers -d 'Whose signatures count at gates, from the workspace\'s folder' -r
complete -c hactl -n "__fish_hactl_using_subcommand init" -l lab -d 'Make the workspace of this lab, and try the answers out in it' -r
complete -c hactl -n "__fish_hactl_using_subcommand init" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand init" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand init" -l s3-virtual-host -d 'Address the bucket as https://bucket.endpoint [default: whichever answers, the path first]'
complete -c hactl -n "__fish_hactl_using_subcommand init" -l offline -d 'Try nothing out; the file says so'
complete -c hactl -n "__fish_hactl_using_subcommand init" -l keep -d 'Write down also what failed when it was tried out, with a note'
complete -c hactl -n "__fish_hactl_using_subcommand init" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand init" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hactl -n "__fish_hactl_using_subcommand check" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand check" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand check" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hactl -n "__fish_hactl_using_subcommand doctor" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand doctor" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand doctor" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hactl -n "__fish_hactl_using_subcommand plan" -l phase -d 'Only this phase' -r
complete -c hactl -n "__fish_hactl_using_subcommand plan" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand plan" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand plan" -l dry-run -d 'Record nothing'
complete -c hactl -n "__fish_hactl_using_subcommand plan" -l rebase -d 'Accept what was changed since the run began, and record that; nothing is carried out'
complete -c hactl -n "__fish_hactl_using_subcommand plan" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand plan" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hactl -n "__fish_hactl_using_subcommand phase; and not __fish_seen_subcommand_from list show run verify rollback" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand phase; and not __fish_seen_subcommand_from list show run verify rollback" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand phase; and not __fish_seen_subcommand_from list show run verify rollback" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand phase; and not __fish_seen_subcommand_from list show run verify rollback" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hactl -n "__fish_hactl_using_subcommand phase; and not __fish_seen_subcommand_from list show run verify rollback" -f -a "list" -d 'List the phases and how far each is'
complete -c hactl -n "__fish_hactl_using_subcommand phase; and not __fish_seen_subcommand_from list show run verify rollback" -f -a "show" -d 'Show a phase\'s steps, where they act, and their gates'
complete -c hactl -n "__fish_hactl_using_subcommand phase; and not __fish_seen_subcommand_from list show run verify rollback" -f -a "run" -d 'Carry out a phase, asking at each gate'
complete -c hactl -n "__fish_hactl_using_subcommand phase; and not __fish_seen_subcommand_from list show run verify rollback" -f -a "verify" -d 'Look at what was made and verify it again; proofs are taken anew'
complete -c hactl -n "__fish_hactl_using_subcommand phase; and not __fish_seen_subcommand_from list show run verify rollback" -f -a "rollback" -d 'Take a phase back, its steps in reverse order'
complete -c hactl -n "__fish_hactl_using_subcommand phase; and __fish_seen_subcommand_from list" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand phase; and __fish_seen_subcommand_from list" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand phase; and __fish_seen_subcommand_from list" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand phase; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c hactl -n "__fish_hactl_using_subcommand phase; and __fish_seen_subcommand_from show" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand phase; and __fish_seen_subcommand_from show" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand phase; and __fish_seen_subcommand_from show" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand phase; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c hactl -n "__fish_hactl_using_subcommand phase; and __fish_seen_subcommand_from run" -l skip -d 'Leave this step out; it stays unproven. May be given more than once' -r
complete -c hactl -n "__fish_hactl_using_subcommand phase; and __fish_seen_subcommand_from run" -l reason -d 'Why, for the journal' -r
complete -c hactl -n "__fish_hactl_using_subcommand phase; and __fish_seen_subcommand_from run" -l step -d 'Carry out only this step, also where it was left out before' -r
complete -c hactl -n "__fish_hactl_using_subcommand phase; and __fish_seen_subcommand_from run" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand phase; and __fish_seen_subcommand_from run" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand phase; and __fish_seen_subcommand_from run" -l rebase -d 'Accept what was changed since the run began (files, or hactl), record that, and go on'
complete -c hactl -n "__fish_hactl_using_subcommand phase; and __fish_seen_subcommand_from run" -l take-over -d 'Take hosts over that another workspace changed last; from then on they refuse that one'
complete -c hactl -n "__fish_hactl_using_subcommand phase; and __fish_seen_subcommand_from run" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand phase; and __fish_seen_subcommand_from run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hactl -n "__fish_hactl_using_subcommand phase; and __fish_seen_subcommand_from verify" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand phase; and __fish_seen_subcommand_from verify" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand phase; and __fish_seen_subcommand_from verify" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand phase; and __fish_seen_subcommand_from verify" -s h -l help -d 'Print help'
complete -c hactl -n "__fish_hactl_using_subcommand phase; and __fish_seen_subcommand_from rollback" -l decide -d 'What you found about a step in doubt: STEP[@HOST]=applied or =not-applied. May be given more than once' -r
complete -c hactl -n "__fish_hactl_using_subcommand phase; and __fish_seen_subcommand_from rollback" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand phase; and __fish_seen_subcommand_from rollback" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand phase; and __fish_seen_subcommand_from rollback" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand phase; and __fish_seen_subcommand_from rollback" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hactl -n "__fish_hactl_using_subcommand resume" -l decide -d 'What you found about a step in doubt: STEP[@HOST]=applied or =not-applied. May be given more than once' -r
complete -c hactl -n "__fish_hactl_using_subcommand resume" -l from-mirror -d 'Bring the run from its mirror into this folder, take it over, and go on' -r
complete -c hactl -n "__fish_hactl_using_subcommand resume" -l mirror-endpoint -d 'Where its server answers, such as https://s3.example' -r
complete -c hactl -n "__fish_hactl_using_subcommand resume" -l mirror-region -d 'Its region' -r
complete -c hactl -n "__fish_hactl_using_subcommand resume" -l mirror-ca -d 'The certificate authority of its server, where it has one of its own' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand resume" -l mirror-access-key -d 'The file with its access key [default: $AWS_ACCESS_KEY_ID]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand resume" -l mirror-secret-key -d 'The file with its secret key [default: $AWS_SECRET_ACCESS_KEY]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand resume" -l mirror-lab -d 'The lab that the run was rehearsed in' -r
complete -c hactl -n "__fish_hactl_using_subcommand resume" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand resume" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand resume" -l rebase -d 'Accept what was changed since the run began (files, or hactl), record that, and go on'
complete -c hactl -n "__fish_hactl_using_subcommand resume" -l take-over -d 'Take hosts over that another copy of this journal changed last; from then on they refuse that one'
complete -c hactl -n "__fish_hactl_using_subcommand resume" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand resume" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hactl -n "__fish_hactl_using_subcommand approve" -l host -d 'Only on this host' -r
complete -c hactl -n "__fish_hactl_using_subcommand approve" -l export -d 'Write a request that somebody else can sign' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand approve" -l sign -d 'Read a request, and sign it into FILE.sig' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand approve" -l key -d 'The SSH key to sign with; of a key in an agent, its public half' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand approve" -l import -d 'Bring in a request that was signed, with FILE.sig beside it' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand approve" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand approve" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand approve" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand approve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hactl -n "__fish_hactl_using_subcommand status" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand status" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand status" -l offline -d 'Do not ask the server and the bucket how archiving and backups do'
complete -c hactl -n "__fish_hactl_using_subcommand status" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hactl -n "__fish_hactl_using_subcommand proof; and not __fish_seen_subcommand_from list show" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand proof; and not __fish_seen_subcommand_from list show" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand proof; and not __fish_seen_subcommand_from list show" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand proof; and not __fish_seen_subcommand_from list show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hactl -n "__fish_hactl_using_subcommand proof; and not __fish_seen_subcommand_from list show" -f -a "list" -d 'List the newest proof of each property of each component'
complete -c hactl -n "__fish_hactl_using_subcommand proof; and not __fish_seen_subcommand_from list show" -f -a "show" -d 'Show what was compared, where, what was measured, and the evidence'
complete -c hactl -n "__fish_hactl_using_subcommand proof; and __fish_seen_subcommand_from list" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand proof; and __fish_seen_subcommand_from list" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand proof; and __fish_seen_subcommand_from list" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand proof; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c hactl -n "__fish_hactl_using_subcommand proof; and __fish_seen_subcommand_from show" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand proof; and __fish_seen_subcommand_from show" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand proof; and __fish_seen_subcommand_from show" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand proof; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c hactl -n "__fish_hactl_using_subcommand report" -l run -d 'Of this run [default: the last one]' -r
complete -c hactl -n "__fish_hactl_using_subcommand report" -l to -d 'The folder for both files [default: reports, beside hactl.toml]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand report" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand report" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand report" -l terraform -d 'Write no file; print blocks by which Terraform imports what the run made or adopted in the cloud'
complete -c hactl -n "__fish_hactl_using_subcommand report" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand report" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hactl -n "__fish_hactl_using_subcommand journal; and not __fish_seen_subcommand_from show verify mirror" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand journal; and not __fish_seen_subcommand_from show verify mirror" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand journal; and not __fish_seen_subcommand_from show verify mirror" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand journal; and not __fish_seen_subcommand_from show verify mirror" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hactl -n "__fish_hactl_using_subcommand journal; and not __fish_seen_subcommand_from show verify mirror" -f -a "show" -d 'Tell what was recorded, in order'
complete -c hactl -n "__fish_hactl_using_subcommand journal; and not __fish_seen_subcommand_from show verify mirror" -f -a "verify" -d 'Check every line, the chain between them, and the evidence that they name'
complete -c hactl -n "__fish_hactl_using_subcommand journal; and not __fish_seen_subcommand_from show verify mirror" -f -a "mirror" -d 'Bring the mirror of [state] up to date, and say how far it is'
complete -c hactl -n "__fish_hactl_using_subcommand journal; and __fish_seen_subcommand_from show" -l last -d 'Only the last so many records' -r
complete -c hactl -n "__fish_hactl_using_subcommand journal; and __fish_seen_subcommand_from show" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand journal; and __fish_seen_subcommand_from show" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand journal; and __fish_seen_subcommand_from show" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand journal; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c hactl -n "__fish_hactl_using_subcommand journal; and __fish_seen_subcommand_from verify" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand journal; and __fish_seen_subcommand_from verify" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand journal; and __fish_seen_subcommand_from verify" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand journal; and __fish_seen_subcommand_from verify" -s h -l help -d 'Print help'
complete -c hactl -n "__fish_hactl_using_subcommand journal; and __fish_seen_subcommand_from mirror" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand journal; and __fish_seen_subcommand_from mirror" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand journal; and __fish_seen_subcommand_from mirror" -l make-bucket -d 'Make the mirror\'s bucket where it is missing'
complete -c hactl -n "__fish_hactl_using_subcommand journal; and __fish_seen_subcommand_from mirror" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand journal; and __fish_seen_subcommand_from mirror" -s h -l help -d 'Print help'
complete -c hactl -n "__fish_hactl_using_subcommand host; and not __fish_seen_subcommand_from trust" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand host; and not __fish_seen_subcommand_from trust" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand host; and not __fish_seen_subcommand_from trust" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand host; and not __fish_seen_subcommand_from trust" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hactl -n "__fish_hactl_using_subcommand host; and not __fish_seen_subcommand_from trust" -f -a "trust" -d 'Show the key that a host shows, and pin it'
complete -c hactl -n "__fish_hactl_using_subcommand host; and __fish_seen_subcommand_from trust" -l fingerprint -d 'Pin without asking, if the host\'s key has this fingerprint' -r
complete -c hactl -n "__fish_hactl_using_subcommand host; and __fish_seen_subcommand_from trust" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand host; and __fish_seen_subcommand_from trust" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand host; and __fish_seen_subcommand_from trust" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand host; and __fish_seen_subcommand_from trust" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hactl -n "__fish_hactl_using_subcommand runbook; and not __fish_seen_subcommand_from list show eject" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand runbook; and not __fish_seen_subcommand_from list show eject" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand runbook; and not __fish_seen_subcommand_from list show eject" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand runbook; and not __fish_seen_subcommand_from list show eject" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hactl -n "__fish_hactl_using_subcommand runbook; and not __fish_seen_subcommand_from list show eject" -f -a "list" -d 'List the bundled runbooks'
complete -c hactl -n "__fish_hactl_using_subcommand runbook; and not __fish_seen_subcommand_from list show eject" -f -a "show" -d 'Print a bundled runbook\'s TOML'
complete -c hactl -n "__fish_hactl_using_subcommand runbook; and not __fish_seen_subcommand_from list show eject" -f -a "eject" -d 'Write a bundled runbook as a file of your own, to be changed'
complete -c hactl -n "__fish_hactl_using_subcommand runbook; and __fish_seen_subcommand_from list" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand runbook; and __fish_seen_subcommand_from list" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand runbook; and __fish_seen_subcommand_from list" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand runbook; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c hactl -n "__fish_hactl_using_subcommand runbook; and __fish_seen_subcommand_from show" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand runbook; and __fish_seen_subcommand_from show" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand runbook; and __fish_seen_subcommand_from show" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand runbook; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c hactl -n "__fish_hactl_using_subcommand runbook; and __fish_seen_subcommand_from eject" -l into -d 'Into which folder' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand runbook; and __fish_seen_subcommand_from eject" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand runbook; and __fish_seen_subcommand_from eject" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand runbook; and __fish_seen_subcommand_from eject" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand runbook; and __fish_seen_subcommand_from eject" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and not __fish_seen_subcommand_from up down status cloud cloud-serve snapshot restore kill start cut heal power-cut enter ssh" -l name -d 'The lab\'s name; labs of different names live side by side' -r
complete -c hactl -n "__fish_hactl_using_subcommand lab; and not __fish_seen_subcommand_from up down status cloud cloud-serve snapshot restore kill start cut heal power-cut enter ssh" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand lab; and not __fish_seen_subcommand_from up down status cloud cloud-serve snapshot restore kill start cut heal power-cut enter ssh" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand lab; and not __fish_seen_subcommand_from up down status cloud cloud-serve snapshot restore kill start cut heal power-cut enter ssh" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and not __fish_seen_subcommand_from up down status cloud cloud-serve snapshot restore kill start cut heal power-cut enter ssh" -s h -l help -d 'Print help'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and not __fish_seen_subcommand_from up down status cloud cloud-serve snapshot restore kill start cut heal power-cut enter ssh" -f -a "up" -d 'Build the image where it is missing, and start the machines'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and not __fish_seen_subcommand_from up down status cloud cloud-serve snapshot restore kill start cut heal power-cut enter ssh" -f -a "down" -d 'Take the lab away: processes, namespaces, files (the image stays)'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and not __fish_seen_subcommand_from up down status cloud cloud-serve snapshot restore kill start cut heal power-cut enter ssh" -f -a "status" -d 'Show what is there, which parts are real, and the snapshots'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and not __fish_seen_subcommand_from up down status cloud cloud-serve snapshot restore kill start cut heal power-cut enter ssh" -f -a "cloud" -d 'Show where the lab\'s cloud API is, and a token for it'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and not __fish_seen_subcommand_from up down status cloud cloud-serve snapshot restore kill start cut heal power-cut enter ssh" -f -a "cloud-serve" -d 'Be the lab\'s cloud; the lab starts it'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and not __fish_seen_subcommand_from up down status cloud cloud-serve snapshot restore kill start cut heal power-cut enter ssh" -f -a "snapshot" -d 'Shut all machines down, keep their disks under a name, start them again'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and not __fish_seen_subcommand_from up down status cloud cloud-serve snapshot restore kill start cut heal power-cut enter ssh" -f -a "restore" -d 'Put all disks back to what a snapshot holds, and start the machines'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and not __fish_seen_subcommand_from up down status cloud cloud-serve snapshot restore kill start cut heal power-cut enter ssh" -f -a "kill" -d 'Take a machine\'s power'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and not __fish_seen_subcommand_from up down status cloud cloud-serve snapshot restore kill start cut heal power-cut enter ssh" -f -a "start" -d 'Give a machine its power back'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and not __fish_seen_subcommand_from up down status cloud cloud-serve snapshot restore kill start cut heal power-cut enter ssh" -f -a "cut" -d 'Cut a machine off from the others; it goes on running'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and not __fish_seen_subcommand_from up down status cloud cloud-serve snapshot restore kill start cut heal power-cut enter ssh" -f -a "heal" -d 'Connect a machine again'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and not __fish_seen_subcommand_from up down status cloud cloud-serve snapshot restore kill start cut heal power-cut enter ssh" -f -a "power-cut" -d 'Take every machine\'s power at once'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and not __fish_seen_subcommand_from up down status cloud cloud-serve snapshot restore kill start cut heal power-cut enter ssh" -f -a "enter" -d 'Run a program of this computer inside the lab, sealed as a rehearsal is'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and not __fish_seen_subcommand_from up down status cloud cloud-serve snapshot restore kill start cut heal power-cut enter ssh" -f -a "ssh" -d 'Log in to a machine, or run a command on it'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from up" -l nodes -d 'So many plain machines, instead of the single server with its databases and the prover' -r
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from up" -l runbook -d 'The runbook of the workspace that is written where --workspace says' -r
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from up" -l name -d 'The lab\'s name; labs of different names live side by side' -r
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from up" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from up" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from up" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from up" -s h -l help -d 'Print help'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from down" -l name -d 'The lab\'s name; labs of different names live side by side' -r
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from down" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from down" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from down" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from down" -s h -l help -d 'Print help'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from status" -l name -d 'The lab\'s name; labs of different names live side by side' -r
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from status" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from status" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from status" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from cloud" -l name -d 'The lab\'s name; labs of different names live side by side' -r
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from cloud" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from cloud" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from cloud" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from cloud" -s h -l help -d 'Print help'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from cloud-serve" -l name -d 'The lab\'s name; labs of different names live side by side' -r
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from cloud-serve" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from cloud-serve" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from cloud-serve" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from cloud-serve" -s h -l help -d 'Print help'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from snapshot" -l name -d 'The lab\'s name; labs of different names live side by side' -r
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from snapshot" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from snapshot" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from snapshot" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from snapshot" -s h -l help -d 'Print help'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from restore" -l name -d 'The lab\'s name; labs of different names live side by side' -r
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from restore" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from restore" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from restore" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from restore" -s h -l help -d 'Print help'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from kill" -l name -d 'The lab\'s name; labs of different names live side by side' -r
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from kill" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from kill" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from kill" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from kill" -s h -l help -d 'Print help'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from start" -l name -d 'The lab\'s name; labs of different names live side by side' -r
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from start" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from start" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from start" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from start" -s h -l help -d 'Print help'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from cut" -l name -d 'The lab\'s name; labs of different names live side by side' -r
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from cut" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from cut" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from cut" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from cut" -s h -l help -d 'Print help'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from heal" -l name -d 'The lab\'s name; labs of different names live side by side' -r
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from heal" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from heal" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from heal" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from heal" -s h -l help -d 'Print help'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from power-cut" -l name -d 'The lab\'s name; labs of different names live side by side' -r
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from power-cut" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from power-cut" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from power-cut" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from power-cut" -s h -l help -d 'Print help'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from enter" -l name -d 'The lab\'s name; labs of different names live side by side' -r
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from enter" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from enter" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from enter" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from enter" -s h -l help -d 'Print help'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from ssh" -l name -d 'The lab\'s name; labs of different names live side by side' -r
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from ssh" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from ssh" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from ssh" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand lab; and __fish_seen_subcommand_from ssh" -s h -l help -d 'Print help'
complete -c hactl -n "__fish_hactl_using_subcommand rehearse" -l through -d 'The last phase to carry out [default: all]' -r
complete -c hactl -n "__fish_hactl_using_subcommand rehearse" -l lab -d 'The lab\'s name; labs of different names live side by side' -r
complete -c hactl -n "__fish_hactl_using_subcommand rehearse" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand rehearse" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand rehearse" -l fresh -d 'Take an earlier lab of this name away first, and begin anew'
complete -c hactl -n "__fish_hactl_using_subcommand rehearse" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand rehearse" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hactl -n "__fish_hactl_using_subcommand kinds" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand kinds" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand kinds" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand kinds" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hactl -n "__fish_hactl_using_subcommand explain" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand explain" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand explain" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand explain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hactl -n "__fish_hactl_using_subcommand schema" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand schema" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand schema" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand schema" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hactl -n "__fish_hactl_using_subcommand completions" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand completions" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand completions" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hactl -n "__fish_hactl_using_subcommand man" -l workspace -d 'The folder with hactl.toml [default: this one or the nearest parent]' -r -F
complete -c hactl -n "__fish_hactl_using_subcommand man" -l output -d 'Who reads the output: human, or json (one object a line)' -r -f -a "human\t'A person'
json\t'A program: one JSON object a line'"
complete -c hactl -n "__fish_hactl_using_subcommand man" -l yes -d 'Answer every gate with yes; in a rehearsal only, refused elsewhere'
complete -c hactl -n "__fish_hactl_using_subcommand man" -s h -l help -d 'Print help (see more with \'--help\')'
