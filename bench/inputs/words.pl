# A program in Perl: a hash of lists of words, joined, split, sorted; prints a checksum.
use strict;
use warnings;

my ($state, $total) = (1, 0);
for my $turn (1 .. 4) {
    my %lines_of;
    for my $line (1 .. 60_000) {
        $state = ($state * 1103515245 + 12345) & 0x7fffffff;
        my $word = sprintf("w%x", ($state >> 8) % 5000);
        push @{ $lines_of{$word} }, "$word in line $line of turn $turn";
    }
    for my $word (sort keys %lines_of) {
        my $text = join(",", @{ $lines_of{$word} });
        my @parts = split(/[ ,]/, $text);
        $total += length($text) + @parts;
    }
}
print "checksum $total\n";
