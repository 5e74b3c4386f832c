/* Purpose: about 50 million instructions of plain computing, for speed and determinism. */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HOSTED
#include "rt.h"
#else /* `cc -DHOSTED compute.c` on any 64-bit computer gives the same numbers */
#include <stdio.h>
#include <stdlib.h>
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;
static u64 lcg(u64 *s)
{
    *s = *s * 6364136223846793005ul + 1442695040888963407ul;
    return *s >> 33;
}
#define say(f, n, v) printf("%s %lx\n", n, (u64)(v))
#define fail(f, v) (printf("FAIL checksum %lx\n", v), exit(1))
#endif

#define EXPECTED 0x600efaad19237746ul

/* Bit by bit, as CoreMark does it: shifts and hard to foresee branches. */
static u16 crc16(u16 crc, u8 byte)
{
    for (int i = 0; i < 8; i++) {
        int x = (crc ^ byte) & 1;
        byte >>= 1;
        crc >>= 1;
        if (x)
            crc ^= 0xa001;
    }
    return crc;
}

static u64 do_crc(u64 rounds)
{
    static u8 data[4096];
    u64 rnd = 1;
    u16 crc = 0;
    for (u64 i = 0; i < sizeof data; i++)
        data[i] = lcg(&rnd);
    while (rounds--)
        for (u64 i = 0; i < sizeof data; i++)
            crc = crc16(crc, data[i]);
    return crc;
}

#define M 48
static u64 do_matrix(u64 rounds)
{
    static int a[M][M], b[M][M], c[M][M];
    u64 rnd = 2, sum = 0;
    for (int i = 0; i < M; i++)
        for (int j = 0; j < M; j++)
            a[i][j] = lcg(&rnd) % 1000, b[i][j] = lcg(&rnd) % 1000;
    while (rounds--) {
        for (int i = 0; i < M; i++)
            for (int j = 0; j < M; j++) {
                int s = 0;
                for (int k = 0; k < M; k++)
                    s += a[i][k] * b[k][j];
                c[i][j] = s;
            }
        for (int i = 0; i < M; i++)
            for (int j = 0; j < M; j++) {
                sum = sum * 31 + (u64)c[i][j];
                a[i][j] = c[i][j] % 1000;
            }
    }
    return sum;
}

#define NODES 2000
struct node {
    struct node *next;
    u64 key;
};

/* Merge sort of a list, and walks over it in the order so made. */
static struct node *sort(struct node *l)
{
    struct node *half = l, *end = l, *out = 0, **tail = &out;
    if (!l || !l->next)
        return l;
    while ((end = end->next) && (end = end->next))
        half = half->next;
    struct node *r = sort(half->next);
    half->next = 0;
    l = sort(l);
    while (l && r) {
        struct node **least = l->key <= r->key ? &l : &r;
        *tail = *least;
        tail = &(*least)->next;
        *least = *tail;
    }
    *tail = l ? l : r;
    return out;
}

static u64 do_list(u64 rounds)
{
    static struct node nodes[NODES];
    u64 rnd = 3, sum = 0;
    struct node *head = 0;
    for (int i = 0; i < NODES; i++) {
        nodes[i].next = head;
        head = &nodes[i];
    }
    while (rounds--) {
        for (int i = 0; i < NODES; i++)
            nodes[i].key = lcg(&rnd) % 5000;
        head = sort(head);
        for (int w = 0; w < 10; w++)
            for (struct node *n = head; n; n = n->next)
                sum = (sum ^ n->key) * 0x100000001b3ul;
    }
    return sum;
}

/* Heap sort in an array, and divisions. */
static void sift(u32 *a, u64 i, u64 n)
{
    for (u64 c; (c = 2 * i + 1) < n; i = c) {
        if (c + 1 < n && a[c + 1] > a[c])
            c++;
        if (a[i] >= a[c])
            return;
        u32 t = a[i];
        a[i] = a[c];
        a[c] = t;
    }
}

#define WORDS 10000
static u64 do_sort(u64 rounds)
{
    static u32 a[WORDS];
    u64 rnd = 4, sum = 0;
    while (rounds--) {
        for (u64 i = 0; i < WORDS; i++)
            a[i] = lcg(&rnd);
        for (u64 i = WORDS / 2; i--;)
            sift(a, i, WORDS);
        for (u64 n = WORDS; n-- > 1;) {
            u32 t = a[0];
            a[0] = a[n];
            a[n] = t;
            sift(a, 0, n);
        }
        for (u64 i = 1; i < WORDS; i++)
            sum = sum * 7 + a[i] / (a[i] - a[i - 1] + 1) + a[i] % (i + 1);
    }
    return sum;
}

void guest_main(void)
{
    u64 crc = do_crc(40), matrix = do_matrix(16), list = do_list(12), sorted = do_sort(5);
    u64 all = ((crc * 31 + matrix) * 31 + list) * 31 + sorted;
    say("%s %x\n", "crc", crc);
    say("%s %x\n", "matrix", matrix);
    say("%s %x\n", "list", list);
    say("%s %x\n", "sort", sorted);
    say("%s %x\n", "checksum", all);
    if (all != EXPECTED)
        fail("checksum %x", all);
}

#ifdef HOSTED
int main(void)
{
    guest_main();
    return 0;
}
#endif
