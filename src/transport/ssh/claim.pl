# Attempts: claims a command, starts it in a process session of its own, waits for its end and reports it.

# What makes folders durable is an fsync of each, as of a file.
sub durable {
    for my $path (@_) {
        open my $file, '<', $path or return 0;
        $file->sync or return 0;
    }
    return 1;
}

sub write_file {
    my ($path, $text) = @_;
    open my $file, '>', $path or return 0;
    print {$file} $text and close $file or return 0;
    return 1;
}

sub first_line {
    open my $file, '<', $_[0] or return '';
    my $line = <$file>;
    return '' unless defined $line;
    chomp $line;
    return $line;
}

# Makes a folder that may be there, and those above it.
sub make_folders {
    my ($path) = @_;
    return 1 if -d $path;
    make_folders($path =~ s{/[^/]+/*\z}{}r || '/') or return 0;
    return mkdir($path) || -d $path;
}

# Takes the host's lock. It is held until a started command has said so, or the file is closed.
sub take_lock {
    make_folders($root) or refuse('setup', "cannot make $root");
    open my $lock, '>>', "$root/lock" or refuse('setup', "cannot open $root/lock");
    my $held = eval {
        local $SIG{ALRM} = sub { die "late\n" };
        alarm 30;
        my $held = flock $lock, LOCK_EX;
        alarm 0;
        $held;
    };
    $held or refuse('setup', "another command holds $root/lock");
    return $lock;
}

# Refuses another fleet, a lower epoch, another run, and a journal without the line under which this host was changed
# last. Says whether the owner file has to be written: not where it says so already, or as much of a later line of the
# same process.
sub check_owner {
    my ($fleet, $run, $epoch, $seq, $hold, $vouched) = @_;
    return 1 unless -e "$root/owner";
    open my $file, '<', "$root/owner" or refuse('owner_damaged');
    my %owner = map { /\A(\S+) (.*)\n?\z/ ? ($1, $2) : () } <$file>;
    (grep { !defined $owner{$_} || $owner{$_} eq '' } qw(fleet run sum hold))
      || (grep { ($owner{$_} // '') !~ /\A[0-9]+\z/ } qw(epoch seq))
      and refuse('owner_damaged');
    $owner{fleet} eq $fleet or refuse('other_fleet', $owner{fleet});
    $owner{epoch} <= $epoch or refuse('old_epoch', $owner{epoch});
    return 1 if $owner{epoch} < $epoch;
    $owner{run} eq $run or refuse('other_run', $owner{run});
    # Claims of one process may overtake each other; it knows its own journal.
    return $owner{seq} < $seq if $owner{hold} eq $hold;
    $owner{sum} eq $vouched or refuse('old_journal', "$owner{seq} $owner{sum}");
    return 1;
}

# The boot of this machine: what was at work before it is not any more.
sub this_boot { return first_line('/proc/sys/kernel/random/boot_id') }

# Since when a process lives, in ticks after the boot; nothing where there is none.
sub since {
    my ($since) = (split / /, (split /\) /, first_line("/proc/$_[0]/stat"))[-1] // '')[19];
    return $since;
}

# Does the command in a folder go on, though all were killed who waited for it?
sub group_lives {
    my ($dir) = @_;
    return 0 unless first_line("$dir/begun") =~ / (\S+)\z/ && $1 eq this_boot();
    my ($group, $since) = first_line("$dir/group") =~ /\A([0-9]+) ([0-9]+)\z/ or return 0;
    # The number of a group is nobody else's as long as one of it lives.
    my $now = since($group);
    return defined $now ? $now eq $since : kill 0, -$group;
}

# How the command in a folder stands: never, running, finished STATUS, timeout, unknown.
sub state_of {
    my ($dir) = @_;
    # Who claims holds the lock until then, and we hold it now, or have waited for who did.
    return 'never' unless -e "$dir/begun";
    return first_line("$dir/status") if -e "$dir/status";
    open my $alive, '>>', "$dir/alive" or return 'unknown';
    return 'running' unless flock $alive, LOCK_EX | LOCK_NB;
    return first_line("$dir/status") if -e "$dir/status";
    return group_lives($dir) ? 'running' : 'unknown';
}

# Starts a command, ends it at its time, and tells the process that takes its output how it ended. Where that one was killed
# nobody is told: there may have been more output, and the command may have failed for want of somebody who takes it.
sub watch {
    my ($seconds, $command, $tell, @files) = @_;
    defined(my $child = fork) or return;
    if (!$child) {
        setpgrp 0, 0;
        # By this it is found again, should nobody be left who waits for it.
        eval { write_file('group', "$$ " . since($$) . "\n") && become(@$command, @files) };
        POSIX::_exit(126);
    }
    setpgrp $child, $child;
    close $_ for @files;
    syswrite $tell, "group $child\n";
    my $status;
    my $reap = sub {
        if (!defined $status && waitpid($child, POSIX::WNOHANG()) == $child) { $status = $? }
    };
    eval {
        local $SIG{ALRM} = sub { die "late\n" };
        alarm $seconds;
        until (defined $status) { $status = $? if waitpid($child, 0) == $child }
        alarm 0;
    };
    if (!defined $status) {
        end_group($child, 10, $reap);
        waitpid $child, 0 unless defined $status;
        syswrite $tell, "timeout\n";
        return;
    }
    $status = status($status);
    # Its own 124 is not taken for a timeout.
    syswrite $tell, "finished $status\n";
}

# Runs a claimed command to its end, whatever becomes of the connection that started it.
sub run_claimed {
    my ($dir, $seconds, $keep, $command, $lock) = @_;
    $SIG{$_} = 'DEFAULT' for qw(HUP INT TERM);
    POSIX::setsid();
    open STDIN,  '<', '/dev/null';
    open STDOUT, '>', '/dev/null';
    chdir $dir or return;
    open my $alive, '>', 'alive' or return;
    flock $alive, LOCK_EX | LOCK_NB or return;
    # That it is there is what counts, and its name is in the folder.
    write_file('begun', "$$ " . this_boot() . "\n") && durable('.') or return;
    open my $input, '<', 'input' or return;
    my $taken = readlink 'input';
    unlink $taken unless $taken eq '/dev/null';
    unlink 'input';
    close $lock;

    pipe my $out, my $to_out and pipe my $err, my $to_err and pipe my $told, my $tell or return;
    defined(my $watcher = fork) or return;
    if (!$watcher) {
        close $_ for $out, $err, $told;
        eval { watch($seconds, $command, $tell, $input, $to_out, $to_err) };
        POSIX::_exit(0);
    }
    close $_ for $to_out, $to_err, $tell, $input;
    my (%file, %kept, %cut);
    for (['o', 'stdout'], ['e', 'stderr']) {
        open $file{ $_->[0] }, '>', $_->[1] or return;
        ($kept{ $_->[0] }, $cut{ $_->[0] }) = (0, 0);
    }
    my ($heard, $late, %ended) = ('', 0);
    my $take = sub {
        my ($name, $part) = @_;
        if (!defined $part) { $ended{$name} = 1; return }
        if ($name eq 't') { $heard .= $part; return }
        my ($at, $fits) = (0, $keep - $kept{$name});
        $fits = length $part if $fits > length $part;
        while ($at < $fits) {
            # A full disk cuts too.
            my $written = syswrite $file{$name}, $part, $fits - $at, $at or last;
            $at += $written;
        }
        $kept{$name} += $at;
        $cut{$name}  += length($part) - $at;
    };
    gather({ t => $told, o => $out, e => $err }, $take, sub {
        return 60 unless $ended{t};
        $late ||= now() + LATE;
        return now() < $late ? 0.02 : undef;
    });
    waitpid $watcher, 0;
    my ($how) = $heard =~ /^(finished [0-9]+|timeout)$/m;
    if (!defined $how) {
        # The watcher was killed.
        end_group($1, 10, sub { }) if $heard =~ /^group ([0-9]+)$/m;
        $how = 'unknown';
    }
    for (['o', 'stdout'], ['e', 'stderr']) {
        write_file("$_->[1].cut", "$cut{$_->[0]}\n") if $cut{ $_->[0] };
        $file{ $_->[0] }->sync if $kept{ $_->[0] };
    }
    write_file('status.new', "$how\n") && durable('status.new') && rename('status.new', 'status') && durable('.');

    # A service that it started may still print: it must find somebody who reads, for ever if need be.
    if (!$ended{o} || !$ended{e}) {
        my $reader = fork;
        if (defined $reader && !$reader) {
            close $_ for $alive, values %file;
            chdir '/';
            gather({ o => $out, e => $err }, sub { }, sub { 3600 });
        }
    }
}

# Claims a command under the host's lock and starts it; the process that runs it.
sub begin {
    my ($fleet, $run, $folder, $attempt, $number, $owner, $input, $bytes, $words, $start) = @_;
    my $dir = "$attempt/$number";
    # Settling removes what arrived, after it made the command void.
    refuse('void') if -e "$dir/void";
    $bytes == 0 || (-s $input || 0) == $bytes or refuse('input', 'the input did not arrive whole');
    my $lock = take_lock();
    my ($epoch, $seq, $sum, $hold, $vouched) = @$owner;
    my $own = check_owner($fleet, $run, $epoch, $seq, $hold, $vouched);
    refuse('void') if -e "$dir/void";
    refuse('claimed') if -e $dir;
    if ($number > 1) {
        my $before = state_of($attempt . '/' . ($number - 1));
        $before =~ /\A(?:finished|timeout)/ or refuse('order', $before);
    }
    if ($own) {
        my $text = "fleet $fleet\nrun $run\nepoch $epoch\nseq $seq\nsum $sum\nhold $hold\n";
        # Where nobody owns the host yet our folder may be new too. The new name becomes durable with the claim.
        my @above = -e "$root/owner" ? () : ($root =~ s{/[^/]+/*\z}{}r || '/');
        write_file("$root/owner.new", $text) && durable("$root/owner.new", @above)
          && rename("$root/owner.new", "$root/owner")
          or refuse('setup', "cannot write $root/owner");
    }
    make_folders($attempt) && mkdir $dir or refuse('setup', "cannot make $dir");
    # All is made first and then made durable: what one fsync takes along costs the next one little. What is in the
    # claim's own folder becomes so with the mark that it has begun.
    write_file("$dir/words", join '', map { "$_\0" } @$words) && symlink($input, "$dir/input")
      && durable("$dir/words", $attempt, $folder, "$root/$run", $root)
      or refuse('setup', 'cannot make the claim durable');
    # From here on the input is the runner's.
    my $kept = $waits;
    $waits = undef;
    my $pid = fork;
    if (!defined $pid) {
        $waits = $kept;
        refuse('setup', "cannot start anything: $!");
    }
    if (!$pid) {
        eval { $start->($dir, $lock) };
        POSIX::_exit(1);
    }
    # And so is the lock, until it has said that it began.
    return $pid;
}

# Reports how the command in a folder stands, with what it printed where it ended.
sub report {
    my ($dir) = @_;
    my $state = state_of($dir);
    if ($state =~ /\A(?:finished|timeout)/) {
        for (['o', 'stdout'], ['e', 'stderr']) {
            open my $file, '<:raw', "$dir/$_->[1]" or next;
            while (sysread $file, my $part, CHUNK) { say_bytes($_->[0], $part) or exit 1 }
        }
        $state .= ' : ' . join ' ', map { first_line("$dir/$_.cut") || 0 } 'stdout', 'stderr';
    }
    say_end($state);
}

sub claim {
    my ($bytes, $fleet, $run, $step, $label, $number, @rest) = @_;
    my @owner = splice @rest, 0, 5;
    my ($seconds, $keep, $arriving, $user, $count, @words) = @rest;
    my @env = splice @words, 0, $count;
    my $folder = "$root/$run/$step";
    my $attempt = "$folder/$label";
    my $input = keep_input($bytes, "hactl-in.$arriving-$number");
    my $pid = eval {
        begin($fleet, $run, $folder, $attempt, $number, \@owner, $input, $bytes, \@words, sub {
            run_claimed($_[0], $seconds, $keep, [$user, \@env, \@words], $_[1]);
        });
    };
    if (!defined $pid) {
        my $why = $@;
        drop_input();
        die $why;
    }
    while (waitpid($pid, 0) == -1 && $!{EINTR}) { }
    # It was begun: what goes wrong from here on is no refusal.
    eval { report("$attempt/$number"); 1 } or exit 1;
}

serve(query => \&query, file => \&file, claim => \&claim);
