# The clerk: answers the requests of one connection, one after the other, as root.
# Arguments: name root marker. It says `MARKER ready` once; from then on only what stands here is sent and read:
#   a request:  KIND FIELDS INPUT, then so many bytes of fields, each ended by a NUL, then so many bytes of input
#   an answer:  `o BYTES` and `e BYTES`, each with what a command printed, and at the end `= HOW`
use strict;
use Fcntl qw(:flock O_RDONLY O_NONBLOCK O_WRONLY O_CREAT O_EXCL);
use IO::Handle ();
use POSIX      ();

# Nobody asks for so long, in seconds: whoever started us is gone.
use constant IDLE => 300;
use constant CHUNK => 65536;
# After a command has ended its output may still be on its way; but a service that it started may hold it for ever.
use constant LATE => 3;

my (undef, $root, $marker) = @ARGV;
umask 077;
chdir '/';
$SIG{PIPE} = 'IGNORE';
my ($arrived, $reply) = ('', '');
# An input that waits for its command, and is nobody's if we are ended.
my $waits;
$SIG{$_} = sub { unlink $waits if defined $waits; exit 1 } for qw(HUP INT TERM);

# What is said of a request that cannot be carried out. Nothing was begun.
sub refuse { die ["refused @_"] }

# Sends what is to be said. Where nobody hears it any more, there is nothing left to do here.
sub flush {
    my $at = 0;
    while ($at < length $reply) {
        my $sent = syswrite STDOUT, $reply, CHUNK, $at;
        if (defined $sent) { $at += $sent }
        elsif (!$!{EINTR}) { return 0 }
    }
    $reply = '';
    return 1;
}

sub say_bytes {
    my ($stream, $bytes) = @_;
    $reply .= $stream . ' ' . length($bytes) . "\n" . $bytes;
    return length $reply < CHUNK || flush();
}

sub say_end {
    my ($how) = @_;
    $how =~ tr/\n/ /;
    $reply .= "= $how\n";
    flush() or exit 1;
}

# Reads more of what is sent to us.
sub more {
    while (1) {
        my $read = sysread STDIN, $arrived, CHUNK, length $arrived;
        return $read if defined $read;
        return 0 unless $!{EINTR};
    }
}

# The next line that is sent; nothing where there is none for long.
sub next_line {
    while ((my $end = index $arrived, "\n") < 0) {
        return if length $arrived > 4096;
        my $ready = '';
        vec($ready, 0, 1) = 1;
        return unless select $ready, undef, undef, IDLE;
        return unless more();
    }
    my $end = index $arrived, "\n";
    my $line = substr $arrived, 0, $end;
    substr $arrived, 0, $end + 1, '';
    return $line;
}

# So many bytes that are sent, handed on in parts as they come.
sub each_part {
    my ($bytes, $take) = @_;
    while ($bytes > 0) {
        length $arrived or more() or return 0;
        my $part = substr $arrived, 0, $bytes, '';
        $bytes -= length $part;
        $take->($part);
    }
    return 1;
}

# Is this folder in memory?
sub in_memory {
    my ($folder) = @_;
    my ($longest, $type) = ('', '');
    open my $mounts, '<', '/proc/mounts' or return 0;
    for my $mount (<$mounts>) {
        my (undef, $at, $kind) = split / /, $mount;
        my $below = $at eq '/' ? '/' : "$at/";
        # The last one that is mounted on a folder is what one sees.
        if (index("$folder/", $below) == 0 && length $at >= length $longest) { ($longest, $type) = ($at, $kind) }
    }
    return $type =~ /\A(?:tmpfs|ramfs)\z/ && -w $folder;
}

# Keeps the input of a command, which may be a secret: in memory, never on a disk. It is read to its end in any case.
sub keep_input {
    my ($bytes, $name) = @_;
    return '/dev/null' if $bytes == 0;
    my ($place) = grep { in_memory($_) } '/run', '/dev/shm';
    my ($path, $file, $why);
    if (!defined $place) { $why = "neither /run nor /dev/shm is in memory, where the command's input must wait" }
    elsif (open my $random, '<:raw', '/dev/urandom') {
        sysread $random, my $bits, 12;
        $path = "$place/$name." . unpack 'H*', $bits;
        $waits = $path;
        sysopen $file, $path, O_WRONLY | O_CREAT | O_EXCL, 0600 or $why = "cannot write in $place";
    }
    else { $why = 'no randomness' }
    my $whole = each_part($bytes, sub {
        my ($part) = @_;
        for (my $at = 0; !defined $why && $at < length $part;) {
            my $written = syswrite $file, $part, length($part) - $at, $at;
            if ($written) { $at += $written } else { $why = "$place is full" }
        }
    });
    if (!$whole || defined $why) {
        drop_input();
        exit 1 unless $whole;
        refuse('setup', $why);
    }
    return $path;
}

# Removes an input that is not wanted any more, or was opened.
sub drop_input {
    unlink $waits if defined $waits;
    $waits = undef;
}

# Turns this process into a command: as a user, in a clean environment, with these three files.
sub become {
    my ($user, $env, $words, @files) = @_;
    $SIG{$_} = 'DEFAULT' for qw(PIPE ALRM HUP INT TERM CHLD);
    chdir '/';
    POSIX::dup2(fileno $files[$_], $_) for 0 .. 2;
    umask 022;
    my $home = (getpwnam $user)[7];
    my %clean = (
        HOME  => defined $home ? $home : '',
        USER  => $user, LOGNAME => $user, SHELL => '/bin/sh', LANG => 'C.UTF-8',
        PATH  => '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    );
    for (@$env) {
        my ($name, $value) = split /=/, $_, 2;
        $clean{$name} = $value;
    }
    my @words = @$words;
    %ENV = %clean;
    if ($user ne 'root') {
        my @clean = map { "$_=$clean{$_}" } sort keys %clean;
        @words = ('runuser', '-u', $user, '--', 'env', '-i', @clean, @words);
    }
    { exec { $words[0] } @words }
    my $status = $!{ENOENT} ? 127 : 126;
    syswrite STDERR, "$words[0]: $!\n";
    POSIX::_exit($status);
}

# An exit status as a shell has it.
sub status { return $_[0] & 127 ? 128 + ($_[0] & 127) : $_[0] >> 8 }

# Tells a process group to end, and kills what does not within some seconds. `reap` waits for what is ours of it.
sub end_group {
    my ($group, $seconds, $reap) = @_;
    kill 'TERM', -$group;
    for (1 .. $seconds * 50) {
        $reap->();
        return unless kill 0, -$group;
        select undef, undef, undef, 0.02;
    }
    kill 'KILL', -$group;
}

# Reads what comes from some files until all have ended. Each part goes to `take`, and nothing where one has ended;
# `until` says for how long to wait at most before it is asked again, or nothing to stop.
sub gather {
    my ($from, $take, $until) = @_;
    my %open = map { $_ => fileno $from->{$_} } keys %$from;
    while (%open) {
        my $wait = $until->();
        return unless defined $wait;
        my $ready = '';
        vec($ready, $_, 1) = 1 for values %open;
        next unless select($ready, undef, undef, $wait) > 0;
        for my $name (sort keys %open) {
            next unless vec $ready, $open{$name}, 1;
            my $read = sysread $from->{$name}, my $part, CHUNK;
            if ($read) { $take->($name, $part) }
            elsif (defined $read || !$!{EINTR}) {
                delete $open{$name};
                $take->($name);
            }
        }
    }
    return 1;
}

# Seconds on a clock that nobody sets.
sub now { return (POSIX::times())[0] / POSIX::sysconf(POSIX::_SC_CLK_TCK()) }

# Runs a command that reads the host.
sub query {
    my ($input, $seconds, $user, $count, @words) = @_;
    my @env = splice @words, 0, $count;
    my $path = keep_input($input, 'hactl-in.query');
    open my $in, '<', $path or refuse('setup', "cannot open $path");
    drop_input();
    pipe my $out, my $to_out and pipe my $err, my $to_err or refuse('setup', "no pipe: $!");
    my $child = fork;
    defined $child or refuse('setup', "cannot start anything: $!");
    if (!$child) {
        setpgrp 0, 0;
        eval { become($user, \@env, \@words, $in, $to_out, $to_err) };
        POSIX::_exit(126);
    }
    setpgrp $child, $child;
    close $_ for $to_out, $to_err;
    my ($ended, $until, $late) = (undef, now() + $seconds, 0);
    my $reap = sub {
        if (!defined $ended && waitpid($child, POSIX::WNOHANG()) == $child) { $ended = $? }
        return defined $ended;
    };
    my $finish = sub {
        my $now = now();
        if ($reap->()) {
            $late ||= $now + LATE;
            return $now < $late ? 0.02 : undef;
        }
        return if $now >= $until;
        my $left = $until - $now;
        return $left < 0.1 ? $left : 0.1;
    };
    my $say = sub {
        return if !defined $_[1] || say_bytes(@_);
        kill 'TERM', -$child;
        exit 1;
    };
    gather({ o => $out, e => $err }, $say, $finish);
    # It may have closed both and go on.
    for (my $pause = 0.0002; !$reap->() && now() < $until; $pause = $pause < 0.05 ? $pause * 2 : 0.05) {
        select undef, undef, undef, $pause;
    }
    if (!defined $ended) {
        end_group($child, 5, $reap);
        waitpid $child, 0 unless defined $ended;
        say_end('timeout');
        return;
    }
    say_end('exited ' . status($ended));
}

# Tells what a path is, and at most so many bytes of what is in it, without starting anything.
sub file {
    my ($input, $path, $limit) = @_;
    each_part($input, sub { }) or exit 1;
    my $fails = sub {
        say_bytes('e', "$path: $!\n") or exit 1;
        say_end('exited 1');
    };
    my @facts = stat $path;
    if (!@facts) {
        return $fails->() unless $!{ENOENT} || $!{ENOTDIR} || $!{ELOOP} || $!{ENAMETOOLONG};
        say_bytes('o', -l $path ? "dangling\n" : "absent\n") or exit 1;
        return say_end('exited 0');
    }
    my $kind = -f _ ? 'regular file' : -d _ ? 'directory' : 'special';
    my ($user, $group) = (scalar getpwuid $facts[4], scalar getgrgid $facts[5]);
    my $line = sprintf "%s|%s|%s|%o|%s|%s\n", $kind, $user // 'UNKNOWN', $group // 'UNKNOWN', $facts[2] & 07777,
      $facts[7], $facts[9];
    say_bytes('o', $line) or exit 1;
    if ($limit > 0 && $kind eq 'regular file') {
        sysopen my $file, $path, O_RDONLY | O_NONBLOCK or return $fails->();
        while ($limit > 0) {
            my $read = sysread $file, my $part, $limit < CHUNK ? $limit : CHUNK;
            defined $read or return $fails->();
            last unless $read;
            $limit -= $read;
            say_bytes('o', $part) or exit 1;
        }
    }
    say_end('exited 0');
}

# Takes requests until nobody sends any.
sub serve {
    my %kinds = @_;
    open STDERR, '>', '/dev/null';
    $reply = "\n$marker ready\n";
    flush() or exit 1;
    while (defined(my $line = next_line())) {
        my ($kind, $fields, $input) = $line =~ /\A([a-z]+) ([0-9]{1,8}) ([0-9]{1,8})\z/ or exit 1;
        my $text = '';
        each_part($fields, sub { $text .= $_[0] }) or exit 1;
        my @fields = split /\0/, $text, -1;
        pop @fields;
        my $do = $kinds{$kind} or exit 1;
        eval { $do->($input, @fields); 1 } and next;
        my $why = $@;
        say_end(ref $why ? $why->[0] : "refused setup $why");
    }
}
